"""Emoji from blurred ones: a DDPM that sees the blurred picture beside the pixels.

Whang et al. 2022 (deblurring by diffusion); a blur of two pixels, and noise of its own as of Ho et al. 2022.

    python -m diffjax.train --config=configs/emoji/blurred.py --workdir=runs/emoji_blurred
    python -m diffjax.sample --workdir=runs/emoji_blurred --image=blurred.png --num=16

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.of_pictures(path)
    image = {"encoder": "blurred", "width": 2.0, "augmentation": 0.3, "drop": 0.1}
    config.conditions = ConfigDict({"image": image})
    config.model.map_channels = 3
    return config
