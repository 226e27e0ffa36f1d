"""Emoji of 32x32 from ones of 8x8: super-resolution with noise of its own in the small picture.

Saharia et al. 2021 (SR3): the small picture, enlarged, stands beside the pixels. Ho et al. 2022: it is noised
in training, at a level that the network is told, so that a cascade may hand on what it made itself.

    python -m diffjax.train --config=configs/emoji/low_res.py --workdir=runs/emoji_low_res
    python -m diffjax.evaluate --workdir=runs/emoji_low_res --evaluators=asked --num=100 --steps=20
    python -m diffjax.sample --workdir=runs/emoji_low_res --image=small.png --num=16

Dropped for one in ten, so that it can be asked for nothing. 4.4 minutes of processor time for 1,000 steps
(Intel Xeon), a first look. Obtained on 100 held-out pictures with 20 DDIM steps: samples, made small, are
0.140 +- 0.004 (root mean square in [-1, 1]) from the small picture that they were asked by, which had noise
of up to 0.3; 0.477 +- 0.014 from another's, and 0.526 +- 0.009 if they were asked nothing.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.of_pictures(path)
    image = {"encoder": "low_resolution", "size": 8, "augmentation": 0.3, "drop": 0.1}
    config.conditions = ConfigDict({"image": image})
    config.model.map_channels = 3
    return config
