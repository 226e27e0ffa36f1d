"""An autoencoder of emoji of 64x64, four times smaller: 16x16 places with four numbers, a Gaussian each.

Rombach et al. 2022 (arXiv:2112.10752), sections 3.1 and G.1: pixels and LPIPS (Zhang et al. 2018, its
AlexNet, a file of `config.perceptual.pretrained`), a KL of weight 1e-6, and a discriminator of patches with
the adaptive weight of Esser et al. 2021, whose opinion counts in the second half. 1,024 numbers for 12,288.
What diffusion in latents stands on, `configs/emoji/latent_class.py` and others.

    python -m diffjax.train --config=configs/emoji/kl_f4.py --workdir=runs/emoji_kl_f4
    python -m diffjax.evaluate --workdir=runs/emoji_kl_f4

8 minutes of processor time (Intel Xeon, beside other work). Obtained on the 1,052 held-out emoji
(`--features=lpips_alexnet:lpips_alexnet_fp16.npz`), beside a bicubic of as many numbers:

                        given back    bicubic
    PSNR, dB            21.99         21.35
    SSIM                0.763         0.754
    LPIPS               0.067         0.244
    Frechet distance    23.7          211      in the features of LPIPS' AlexNet

Edges are sharp; so short a training leaves grain, a tint of green on some eyes, and pink cheeks that are red.
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.emoji import common

LPIPS = "lpips_alexnet_fp16.npz"  # in the working directory: trunk and heads, see `pretrained.load`


def get_config(path: str = common.FILE) -> ConfigDict:
    return autoencoder(path, "kl", latent_channels=4, kl=1e-6)


def autoencoder(path: str, name: str, latent_channels: int, levels: int = 3, **objective) -> ConfigDict:
    """Return the config of an autoencoder of emoji.

    Args:
      path: of the data.
      name: of the network, "kl" or "vq".
      latent_channels: numbers a place.
      levels: the factor is 2^(levels - 1).
      objective: see `configs.common.autoencoder`; "model" is what the network has besides.
    """
    config = common.config(path)
    config.data.update({"size": 64, "shape": (64, 64, 3), "arrays": ()})
    model = {
        "name": name,
        "latent_channels": latent_channels,
        "channels": (16, 32, 32, 64)[:levels],
        "num_res_blocks": 1,
        "num_groups": 8,
        **objective.pop("model", {}),
    }
    config = shared.autoencoder(config, model, num_steps=1000, perceptual_weight=1.0, **objective)
    config.perceptual = ConfigDict({"pretrained": LPIPS, "architecture": "lpips_alexnet"})
    config.objective.discriminator.features = 16
    config.training.batch_size = 8
    return config
