"""A noise-aware encoder of emoji, taught by the clean one of `emoji/clip.py`.

Liu et al. 2021 (arXiv:2112.05744), section 3.3: what it sees in a noised picture is what the clean encoder
sees in the picture itself, told apart from the others of a batch; it reads no caption. On the schedule of the
other configs of emoji, which it steers by semantic guidance.

    python -m diffjax.train --config=configs/emoji/clip.py --workdir=runs/emoji_clip
    python -m diffjax.train --config=configs/emoji/noise_aware.py --workdir=runs/emoji_noise_aware
    python -m diffjax.evaluate --workdir=runs/emoji_noise_aware

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import clip, common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = clip.get_config(path)
    del config["conditions"]
    config.system = "noise_aware"
    config.clean = ConfigDict({"workdir": "runs/emoji_clip"})
    config.schedule = common.config(path).schedule
    config.objective = ConfigDict({"times": "uniform", "warm_start": True})
    return config
