"""Emoji of 64x64 from ones of 32x32, the last stage of a cascade: small pictures noised and blurred.

Ho et al. 2022 (arXiv:2106.15282), section 4: as `configs/emoji/cascade_up32.py`, and half of the small
pictures blurred by 0.4 to 0.6 of their pixels, in training alone.

    python -m diffjax.train --config=configs/emoji/cascade_up64.py --workdir=runs/emoji_32_64
    python -m diffjax.sample --workdir=runs/emoji_32_64 --image=small.png --num=16

3 minutes of processor time (Intel Xeon). Obtained: 5 to 8 % more grain than real pictures have without noise
in the small ones: `experiments/cascade_augmentation`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path, size=64)
    config.data.only = ("vendor", 3)
    small = {"encoder": "low_resolution", "size": 32, "augmentation": 0.6, "blur": (0.4, 0.6)}
    config.conditions = ConfigDict({"image": small})
    config.model = common.efficient()
    config.training.update({"num_steps": 400, "batch_size": 16, "sample_every": 0})
    return config
