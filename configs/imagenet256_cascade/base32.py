"""ImageNet at 32x32, class-conditional: the first stage of a cascade to 256x256.

Ho et al. 2022 (arXiv:2106.15282), section 4.1. Its network is that of `configs/imagenet64/adm.py`, with
attention at 16x16, 8x8 and 4x4.

    python -m diffjax.train --config=configs/imagenet256_cascade/base32.py --workdir=runs/imagenet_32

Obtained: not run at full size here; it builds and traces, with 295,904,454 parameters.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256_cascade import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    return common.config(path, 32, {**common.SMALL, "attention_resolutions": (2, 4, 8)})
