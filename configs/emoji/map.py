"""Emoji of a coarse map of colours: a DDPM that sees the map's eight classes beside the pixels.

Ho et al. 2020; a map beside the pixels is how Saharia et al. 2022 (Palette) and Rombach et al. 2022 condition
on one. In training the map is the picture's own, each channel cut in two and 8x8 places; a file of one is a
grey PNG of 32x32 whose pixels are 4 red + 2 green + blue, each 0 or 1. Dropped for classifier-free guidance.

    python -m diffjax.train --config=configs/emoji/map.py --workdir=runs/emoji_map
    python -m diffjax.evaluate --workdir=runs/emoji_map --evaluators=asked --num=100 --steps=20
    python -m diffjax.sample --workdir=runs/emoji_map --map=map.png --num=16

1,000 steps, 7 minutes of two busy cores (Intel Xeon), are a first look. Obtained on 100 held-out pictures
with 20 DDIM steps and w = 0.5: of a sample's own map 2.8 % +- 0.3 % of the places are of another class than
it was asked; 30.0 % +- 1.3 % beside another's map, and 35.0 % +- 0.9 % if it was asked nothing.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.of_pictures(path)
    config.conditions = ConfigDict({"map": {"encoder": "colour_map", "shades": 2, "size": 8, "drop": 0.1}})
    config.model.map_channels = 8
    config.sampler = common.sampler(guidance_weight=0.5)
    return config
