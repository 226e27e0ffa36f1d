"""An autoencoder of emoji of 64x64, four times smaller: 16x16 places, each one of 512 vectors.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1, VQ-reg.: vector quantisation (van den Oord et al. 2017)
as the first thing that the decoder does. The table follows the averages of what takes its vectors, and those
that hardly anything takes begin anew; see `configs/emoji/kl_f4.py` for the rest.

    python -m diffjax.train --config=configs/emoji/vq_f4.py --workdir=runs/emoji_vq_f4
    python -m diffjax.evaluate --workdir=runs/emoji_vq_f4

8 minutes of processor time (Intel Xeon, on one core beside other work). Obtained on the 1,052 held-out emoji
(`--features=lpips_alexnet:lpips_alexnet_fp16.npz`), beside a bicubic of as many numbers:

                        given back    bicubic
    PSNR, dB            21.07         21.35
    SSIM                0.741         0.754
    LPIPS               0.084         0.244
    Frechet distance    32.1          211      in the features of LPIPS' AlexNet

All 512 vectors are used by the training pictures, with a perplexity of 380. Shapes and colours are right;
there is more grain than `kl_f4.py` leaves. By PSNR and SSIM the blurred bicubic is the nearer one.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, kl_f4


def get_config(path: str = common.FILE) -> ConfigDict:
    table = {"codes": 512, "averaged": True}
    config = kl_f4.autoencoder(path, "vq", latent_channels=4, model=table, commitment=0.25, restart=0.1)
    config.objective.discriminator.weight = 0.75
    return config
