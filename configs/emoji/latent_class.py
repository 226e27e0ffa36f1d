"""Emoji of 64x64 of a vendor's style, by diffusion in latents of 16x16x4.

Rombach et al. 2022 (arXiv:2112.10752), section 3.2, with v-prediction (Salimans & Ho 2022); the first stage
is the run of `configs/emoji/kl_f4.py`, which is copied. Its latents are kept on disk, so that it is asked
once, and divided by their standard deviation over the training set. The class is the vendor, dropped for
classifier-free guidance (Ho & Salimans 2022).

    python -m diffjax.train --config=configs/emoji/kl_f4.py --workdir=runs/emoji_kl_f4
    python -m diffjax.train --config=configs/emoji/latent_class.py --workdir=runs/emoji_latent_class
    python -m diffjax.sample --workdir=runs/emoji_latent_class --num=50

The first 1,000 steps took 8 minutes of one busy core (Intel Xeon). Obtained: colours and outlines of emoji on
white, of which none can be named yet; outlines and shading differ by vendor.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = latent(path)
    config.data.update({"labels": "vendor", "num_classes": 5, "label_names": "vendor_names"})
    config.model.num_classes = 6  # five vendors and the null label
    config.objective.label_dropout = 0.1
    return config


def latent(path: str) -> ConfigDict:
    """Return the config of a DDPM in latents of emoji, but for its condition."""
    config = common.config(path)
    config.system = "latent"
    config.data.update({"size": 64, "shape": (64, 64, 3)})
    config.first_stage = ConfigDict({"workdir": "runs/emoji_kl_f4"})
    config.latents = ConfigDict({"system": "ddpm", "scale": "measured", "cache": True, "decode_batch": 50})
    config.model.update({"model_channels": 48, "channel_mult": (1, 2), "attention_resolutions": (2,)})
    config.sampler = common.sampler()
    config.sampler.threshold = None  # latents have no bounds
    return config
