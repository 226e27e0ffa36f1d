"""Emoji of 64x64 of a caption in three stages, 16 -> 32 -> 64, of which the first alone reads it.

Ho et al. 2022 (arXiv:2106.15282), with captions in the place of classes; see `configs/emoji/cascade.py`.

    python -m diffjax.sample --config=configs/emoji/cascade_text.py --out=runs/emoji_grown --text="a cat"

Its stages are trained first, as `configs/emoji/text_16.py` says. Obtained after 13 minutes of
processor time for all stages, 1,300, 400 and 400 steps (Intel Xeon, beside other work): 83 % of the pictures
of held-out captions are told theirs, R@10 among 40, by chance 25 %: `experiments/text_to_emoji`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import cascade, common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = cascade.get_config(path)
    config.data.arrays = ("caption",)
    sampler = {"steps": 25, "guidance_weight": 2.0}
    config.stages.base = ConfigDict({"workdir": "runs/emoji_text_16", "sampler": sampler})
    for name in ("up32", "up64"):
        config.stages[name].sampler = ConfigDict({"steps": 16})
    config.evaluation.judge = ConfigDict({"workdir": "runs/emoji_clip"})
    return config
