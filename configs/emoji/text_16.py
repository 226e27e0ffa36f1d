"""Emoji of 16x16 of a caption, the first stage of a cascade that is told one.

Ho et al. 2022 (arXiv:2106.15282): as `configs/emoji/text.py`, with the network of
`configs/emoji/cascade_base.py`; the other stages, which see the small picture alone, are those of
`configs/emoji/cascade.py`.

    python -m diffjax.train --config=configs/emoji/text_16.py --workdir=runs/emoji_text_16
    python -m diffjax.train --config=configs/emoji/cascade_up32.py --workdir=runs/emoji_16_32
    python -m diffjax.train --config=configs/emoji/cascade_up64.py --workdir=runs/emoji_32_64
    python -m diffjax.sample --config=configs/emoji/cascade_text.py --out=runs/emoji_grown --text="a cat"

7 minutes of processor time for 1,300 steps (Intel Xeon, beside other work), and 3 for each of the others.
Obtained: see `configs/emoji/cascade_text.py`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import cascade_base, common, text


def get_config(path: str = common.FILE) -> ConfigDict:
    config = text.get_config(path)
    config.data.update({"size": 16, "shape": (16, 16, 3)})
    config.model.update(cascade_base.get_config(path).model.to_dict())
    config.model.token_features = 128
    config.training.update({"num_steps": 1300, "sample_every": 0})
    return config
