"""What turns images into the features that distances are measured in."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Extractor(NamedTuple):
    """Features of images, and what has to be known about them to compare two numbers.

    Attributes:
      name: short, for the report.
      features: uint8 images [N, H, W, C] -> features [N, D].
      probabilities: uint8 images [N, H, W, C] -> class probabilities [N, K], or None.
      conventions: one sentence on resizing, rounding and weights.
    """

    name: str
    features: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray] | None
    conventions: str
