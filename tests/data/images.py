"""Image files that tests write."""

import numpy as np
from PIL import Image


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def grey(value, side=4):
    return np.full((side, side), value, np.uint8)
