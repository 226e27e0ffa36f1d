"""Emoji of 16x16, the first stage of a cascade: a DDPM that is asked for nothing.

Ho et al. 2022 (arXiv:2106.15282), the base model; v-prediction (Salimans & Ho 2022), as eps shifts colours.
The pictures are those of one vendor, 1,433 to train on, made small by the mean of 2x2 pixels twice over.

    python -m diffjax.train --config=configs/emoji/cascade_base.py --workdir=runs/emoji_16
    python -m diffjax.train --config=configs/emoji/cascade_up32.py --workdir=runs/emoji_16_32
    python -m diffjax.train --config=configs/emoji/cascade_up64.py --workdir=runs/emoji_32_64
    python -m diffjax.sample --config=configs/emoji/cascade.py --out=runs/emoji_cascade --num=64

2.6 minutes of processor time (Intel Xeon), and 3 for each of the others. Obtained:
`experiments/cascade_augmentation`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path, size=16)
    config.data.only = ("vendor", 3)
    config.model.update({"channel_mult": (0.5, 1.0, 1.5)})
    config.training.update({"num_steps": 500, "sample_every": 0})
    return config
