"""Latent diffusion's KL autoencoder of 256x256, eight times smaller: 32x32 places with four numbers.

Rombach et al. 2022 (arXiv:2112.10752), table 8 (autoencoders of OpenImages, measured on ImageNet).

    python -m diffjax.train --config=configs/imagenet256/kl_f8.py --workdir=runs/imagenet256_kl_f8

Obtained: not run at full size here; it builds and traces, with 86,419,496 parameters: 83,653,863 of the
network, as the published checkpoint has them, which `pretrained.load` reads, and a discriminator's. The
authors' settings: LPIPS of VGG16, a KL of weight 1e-6, a discriminator of patches with batch norm whose
opinion counts from step 50,001 on with weight 0.5, batches of 12, Adam (0.5, 0.9) at 4.5e-6 a picture.

They trained on OpenImages; here it is ImageNet, a folder of pictures.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256 import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    critic = {"features": 64, "layers": 3, "norm": "batch", "start": 50_001, "weight": 0.5}
    model = {"name": "kl", "latent_channels": 4, "channels": (128, 256, 512, 512)}
    return common.autoencoder(path, model, kl=1e-6, discriminator=critic)
