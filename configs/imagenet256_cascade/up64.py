"""ImageNet's cascade from 32x32 to 64x64, with Gaussian noise in the small pictures.

Ho et al. 2022 (arXiv:2106.15282), section 4: one network for all levels of noise, which it is told apart from
the time; the level is chosen when sampling, by `configs/imagenet256_cascade/cascade.py`.

    python -m diffjax.train --config=configs/imagenet256_cascade/up64.py --workdir=runs/imagenet_32_64

The paper, of the cascade so far: FID 1.48 of 50,000 samples against the training set. Obtained:
not run at full size here; it builds and traces, with 296,550,921 parameters.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256_cascade import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    model = {**common.SMALL, "attention_resolutions": (2, 4, 8), "map_channels": 3}
    config = common.config(path, 64, model)
    small = {"encoder": "low_resolution", "size": 32, "augmentation": 0.9}
    config.conditions = ConfigDict({"image": small})
    return config
