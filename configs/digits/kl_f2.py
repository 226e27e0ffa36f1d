"""An autoencoder of scikit-learn's handwritten digits (8x8), half as large: 4x4 places, a Gaussian each.

Rombach et al. 2022 (arXiv:2112.10752), sections 3.1 and G.1, at a size of minutes: the error of pixels, a KL
of weight 1e-4, and a discriminator of patches with the adaptive weight of Esser et al. 2021. 32 numbers for
64. What `configs/digits/latent.py` stands on.

    python -m diffjax.train --config=configs/digits/kl_f2.py --workdir=runs/digits_kl_f2
    python -m diffjax.evaluate --workdir=runs/digits_kl_f2

1.9 minutes of training on two busy cores (Intel Xeon). Obtained on the 360 held-out digits, beside a bicubic
of as many numbers:

                        given back    bicubic
    PSNR, dB            25.74         15.42
    SSIM                0.985         0.769
    Frechet distance    0.098         5.79     in the features of a small classifier
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("autoencoder")
    model = {"name": "kl", "latent_channels": 2, "channels": (16, 32), "num_res_blocks": 1, "num_groups": 8}
    critic = {"features": 16, "layers": 1}
    config = shared.autoencoder(config, model, num_steps=1000, kl=1e-4, discriminator=critic)
    config.perceptual = None
    config.training.batch_size = 64
    return config
