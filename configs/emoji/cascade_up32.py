"""Emoji of 32x32 from ones of 16x16, the second stage of a cascade, with conditioning augmentation.

Ho et al. 2022 (arXiv:2106.15282), section 4: the small picture, enlarged, stands beside the pixels, with
noise of its own at a level that is drawn for each sample and told apart from the time; one network for all
levels, of which `configs/emoji/cascade.py` chooses one.

    python -m diffjax.train --config=configs/emoji/cascade_up32.py --workdir=runs/emoji_16_32
    python -m diffjax.sample --workdir=runs/emoji_16_32 --image=small.png --ask=image_level=0.1 --num=16

2.9 minutes of processor time (Intel Xeon). Obtained of real pictures of 16x16: no farther from real ones of
32x32, in the features of a CLIP, than these among themselves: `experiments/cascade_augmentation`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path)
    config.data.only = ("vendor", 3)
    config.conditions = ConfigDict({"image": {"encoder": "low_resolution", "size": 16, "augmentation": 0.6}})
    config.model.map_channels = 3
    config.training.update({"num_steps": 400, "batch_size": 16, "sample_every": 0})
    return config
