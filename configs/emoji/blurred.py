"""Emoji from blurred ones: a DDPM that sees the blurred picture beside the pixels.

Whang et al. 2022 (deblurring by diffusion); a blur of two pixels, and noise of its own as of Ho et al. 2022.

    python -m diffjax.train --config=configs/emoji/blurred.py --workdir=runs/emoji_blurred
    python -m diffjax.evaluate --workdir=runs/emoji_blurred --evaluators=asked --num=100 --steps=20
    python -m diffjax.sample --workdir=runs/emoji_blurred --image=blurred.png --num=16

Dropped for one in ten. 5.0 minutes of processor time for 1,000 steps (Intel Xeon), a first look. Obtained on
100 held-out pictures with 20 DDIM steps: samples, blurred, are 0.062 +- 0.001 (root mean square in [-1, 1])
from the blurred picture that they were asked by, which had noise of up to 0.3; 0.414 +- 0.014 from another's,
and 0.452 +- 0.009 if they were asked nothing.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.of_pictures(path)
    image = {"encoder": "blurred", "width": 2.0, "augmentation": 0.3, "drop": 0.1}
    config.conditions = ConfigDict({"image": image})
    config.model.map_channels = 3
    return config
