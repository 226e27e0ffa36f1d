"""Emoji of 64x64 in three stages, 16 -> 32 -> 64, each of which was trained by itself.

Ho et al. 2022 (arXiv:2106.15282): what a stage makes is noised before it is handed on, by as much as suits
the faults that it has. Here the second stage is handed the base's x before it is done, which has that noise
in it ("truncated"), and the third what the second made, noised anew.

    python -m diffjax.sample --config=configs/emoji/cascade.py --out=runs/emoji_cascade --num=64

Its stages are trained first, as `configs/emoji/cascade_base.py` says. Not run at this length: the stages were
trained for 400 to 500 steps (3 minutes of processor time each, Intel Xeon) in
`experiments/cascade_augmentation`, where no level was found that helps.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = ConfigDict()
    config.system = "cascade"
    config.data = common.config(path, size=64).data
    config.data.only = ("vendor", 3)
    config.stages = ConfigDict(
        {
            "base": {"workdir": "runs/emoji_16"},
            "up32": {"workdir": "runs/emoji_16_32"},
            "up64": {"workdir": "runs/emoji_32_64"},
        }
    )
    config.order = ("base", "up32", "up64")
    config.augmentation = ConfigDict(
        {"up32": {"level": 0.2, "truncated": True}, "up64": {"level": 0.1, "truncated": False}}
    )
    config.batch_sizes = ConfigDict({"base": 256, "up32": 64, "up64": 16})
    config.evaluation = ConfigDict({"num_samples": 500, "batch_size": 100})
    return config
