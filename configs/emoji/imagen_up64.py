"""Emoji of 64x64 from ones of 32x32 and a caption, Imagen's second stage: an efficient U-Net.

Saharia et al. 2022 (arXiv:2205.11487), sections 2.4 and 2.5, appendix B.1: most blocks are where pictures are
small, a level halves before its blocks and doubles after them, skips are scaled by 1 / sqrt(2); the small
picture is noised in training at a level that is told, and by how much in sampling is chosen there.

    python -m diffjax.train --config=configs/emoji/imagen_up64.py --workdir=runs/emoji_imagen_64
    python -m diffjax.sample --workdir=runs/emoji_imagen_64 --image=small.png --text="a green apple" --num=16

3 minutes of processor time (Intel Xeon). Obtained: a loss of 0.23, still falling; pictures keep what the
small ones show, with a grain of noise all over that a longer training would have to take away.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, text


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path, size=64)
    config.data.only = ("vendor", 3)
    small = {"encoder": "low_resolution", "size": 32, "augmentation": 0.9}
    config.conditions = ConfigDict({"text": text.get_config(path).conditions.text, "image": small})
    config.model = common.efficient(token_features=64)
    config.sampler = common.sampler(guidance_weight=1.0)
    config.training.update({"num_steps": 400, "batch_size": 16, "sample_every": 0})
    return config
