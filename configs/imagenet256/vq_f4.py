"""Latent diffusion's VQ autoencoder of 256x256, four times smaller: 64x64 places, each one of 8192 vectors.

Rombach et al. 2022 (arXiv:2112.10752), table 8 (autoencoders of OpenImages, measured on ImageNet).

    python -m diffjax.train --config=configs/imagenet256/vq_f4.py --workdir=runs/imagenet256_vq_f4

Obtained: not run at full size here; it builds and traces, with 58,088,415 parameters: 55,322,782 of the
network and its table, and a discriminator's. The authors' settings: three numbers a vector, commitment 0.25
in taming-transformers' first order ("legacy"), LPIPS of VGG16, a discriminator of patches with weight 0.75
from the first step on, batches and rate as `configs/imagenet256/kl_f8.py`.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256 import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    critic = {"features": 64, "layers": 3, "norm": "batch", "start": 0, "weight": 0.75}
    model = {"name": "vq", "latent_channels": 3, "channels": (128, 256, 512), "codes": 8192}
    return common.autoencoder(
        path, model, commitment=0.25, order="legacy", codebook=1.0, discriminator=critic
    )
