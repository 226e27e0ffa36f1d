"""The networks that are timed, in words that belong to neither library, and how long one timing takes."""

from typing import NamedTuple

THREADS = 2  # for each side
BATCH = 16
CHAIN = 1000  # steps of the diffusion, linear betas
DDIM_STEPS = 50
LEARNING_RATE, CLIP_NORM, EMA_DECAY = 1e-4, 1.0, 0.999
TRAIN_STEPS = 3  # of one timing


class Network(NamedTuple):
    """A U-Net as in DDPM: residual blocks, attention at the lowest level and in the middle.

    Attributes:
      size: height and width of the images.
      channels: of the images.
      widths: channels of each level.
      blocks: residual blocks a level on the way down; one more on the way up.
      groups: of the normalisations.
    """

    size: int
    channels: int
    widths: tuple[int, ...]
    blocks: int
    groups: int


NETWORKS = {
    "unet": Network(size=32, channels=3, widths=(64, 128), blocks=2, groups=32),
    "tiny": Network(size=28, channels=1, widths=(16, 32), blocks=2, groups=8),
}
