"""Emoji of 32x32 from ones of 8x8: super-resolution with noise of its own in the small picture.

Saharia et al. 2021 (SR3): the small picture, enlarged, stands beside the pixels. Ho et al. 2022: it is noised
in training, at a level that the network is told, so that a cascade may hand on what it made itself.

    python -m diffjax.train --config=configs/emoji/low_res.py --workdir=runs/emoji_low_res
    python -m diffjax.sample --workdir=runs/emoji_low_res --image=small.png --num=16

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path)
    config.conditions = ConfigDict({"image": {"encoder": "low_resolution", "size": 8, "augmentation": 0.3}})
    config.model.map_channels = 3
    return config
