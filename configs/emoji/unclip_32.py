"""Emoji of 32x32 of a caption by unCLIP's prior and decoder alone, without a step up.

Ramesh et al. 2022 (arXiv:2204.06125), figure 2: the first two stages of `configs/emoji/unclip.py`.

    python -m diffjax.sample --config=configs/emoji/unclip_32.py --out=runs/emoji_unclip --text="a green book"
    python -m diffjax.sample --config=configs/emoji/unclip_32.py --out=runs/emoji_like --image=picture.png

1 minute of processor time for 40 pictures (Intel Xeon). Obtained: of held-out captions a heart, a square, a
red circle and a cat can be named from the pictures, a crescent moon and a pear cannot; the README has them,
and `experiments/unclip_prior` the numbers.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, unclip


def get_config(path: str = common.FILE) -> ConfigDict:
    config = unclip.get_config(path)
    config.data = common.config(path).data
    config.data.only = ("vendor", 3)
    del config.stages["up"], config.batch_sizes["up"], config["augmentation"]
    config.order = ("prior", "decoder")
    return config
