"""Emoji of 64x64 of a caption in one stage: what stages and latents are measured against.

As `configs/emoji/text.py`, by the efficient U-Net of Saharia et al. 2022 (arXiv:2205.11487), appendix B.1,
which has no block at the pictures' own size.

    python -m diffjax.train --config=configs/emoji/text_64.py --workdir=runs/emoji_text_64
    python -m diffjax.sample --workdir=runs/emoji_text_64 --text="a red apple" --num=16

11 minutes of processor time (Intel Xeon, beside other work), 1,500 steps. Obtained: 70 % of the pictures of
held-out captions are told theirs, R@10 among 40, real pictures 70 %, by chance 25 %:
`experiments/text_to_emoji`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, text


def get_config(path: str = common.FILE) -> ConfigDict:
    config = text.get_config(path)
    config.data.update({"size": 64, "shape": (64, 64, 3)})
    config.model = common.efficient(token_features=128)
    del config.model.map_channels  # it is shown no picture
    config.training.update({"num_steps": 1500, "batch_size": 16})
    return config
