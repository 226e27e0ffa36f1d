"""Imagen's second stage: 256x256 from 64x64 and the caption, by an efficient U-Net.

Saharia et al. 2022 (arXiv:2205.11487), section 2.5 and appendix B.1: 128 channels times 1, 2, 4, 8, with 2,
4, 8 and 8 blocks, attention at the last level; noise of any level in the small picture, which is told.

    python -m diffjax.train --config=configs/imagen/up256.py --workdir=runs/imagen_256

The paper's has 600 million parameters. Obtained: not run at full size here; it builds and traces, with
967,573,254 parameters: every block on the way up has a skip of its own, and the middle has attention, where
the paper does not say it all. The paper trains on crops of 64x64, which convolutions allow; here on
whole pictures.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagen import common


def get_config(path: str = common.FILE) -> ConfigDict:
    model = {"name": "efficient_unet", "model_channels": 128, "channel_mult": (1, 2, 4, 8)}
    model |= {"num_res_blocks": (2, 4, 8, 8), "attention_resolutions": (8,), "map_channels": 3}
    config = common.config(256, model, path)
    config.conditions.image = ConfigDict({"encoder": "low_resolution", "size": 64, "augmentation": 0.999})
    return config
