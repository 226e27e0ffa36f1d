"""scikit-learn's handwritten digits (8x8) and their names in one space.

Radford et al. 2021 (arXiv:2103.00020), Fig. 3: the way down of a U-Net with attention pooling and a table of
ten names, each a text of one word. Digits of one name are not told apart. It knows no noise: what guides is
the encoder of `configs/digits/noise_aware.py`, which it teaches.

    python -m diffjax.train --config=configs/digits/clip.py --workdir=runs/digits_clip
    python -m diffjax.evaluate --workdir=runs/digits_clip

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("clip")
    config.model = common.tower()
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    text = {"encoder": "classes", "array": "label", "num_classes": 10, "names": names}
    config.conditions = ConfigDict({"text": text})
    config.training.num_steps = 500
    return config
