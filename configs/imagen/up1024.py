"""Imagen's last stage: 1024x1024 from 256x256 and the caption, by an efficient U-Net.

Saharia et al. 2022 (arXiv:2205.11487), section 2.5 and appendix B.1: as `configs/imagen/up256.py`; its
network has cross-attention and no attention among pixels, where here the last level has both.

    python -m diffjax.train --config=configs/imagen/up1024.py --workdir=runs/imagen_1024

The paper's has 400 million parameters. Obtained: not run at full size here; it builds and traces, with
967,868,422 parameters.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagen import common


def get_config(path: str = common.FILE) -> ConfigDict:
    model = {"name": "efficient_unet", "model_channels": 128, "channel_mult": (1, 2, 4, 8)}
    model |= {"num_res_blocks": (2, 4, 8, 8), "attention_resolutions": (8,), "map_channels": 3}
    config = common.config(1024, {**model, "halve_first": True}, path)
    config.conditions.image = ConfigDict({"encoder": "low_resolution", "size": 256, "augmentation": 0.999})
    return config
