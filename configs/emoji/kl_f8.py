"""An autoencoder of emoji of 64x64, eight times smaller: 8x8 places with four numbers, a Gaussian each.

Rombach et al. 2022 (arXiv:2112.10752), section 4.1, LDM-8; see `configs/emoji/kl_f4.py`. 256 numbers for
12,288.

    python -m diffjax.train --config=configs/emoji/kl_f8.py --workdir=runs/emoji_kl_f8
    python -m diffjax.evaluate --workdir=runs/emoji_kl_f8

7 minutes of processor time (Intel Xeon, beside other work). Obtained on the 1,052 held-out emoji
(`--features=lpips_alexnet:lpips_alexnet_fp16.npz`), beside a bicubic of as many numbers:

                        given back    bicubic
    PSNR, dB            18.40         17.49
    SSIM                0.585         0.523
    LPIPS               0.133         0.487
    Frechet distance    53.3          443      in the features of LPIPS' AlexNet
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, kl_f4


def get_config(path: str = common.FILE) -> ConfigDict:
    return kl_f4.autoencoder(path, "kl", latent_channels=4, levels=4, kl=1e-6)
