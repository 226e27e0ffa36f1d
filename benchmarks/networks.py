"""The networks that are timed, in words that belong to neither library, and how long one timing takes."""

from typing import NamedTuple

THREADS = 2  # for each side
BATCH = 16
CHAIN = 1000  # steps of the diffusion, linear betas
DDIM_STEPS = 50
LEARNING_RATE, CLIP_NORM, EMA_DECAY = 1e-4, 1.0, 0.999
TRAIN_STEPS, FORWARDS = 3, 4  # of one timing


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


class Transformer(NamedTuple):
    """A DiT with adaLN-Zero, as diffusers has it: each block embeds the time itself.

    Attributes:
      size, channels: as of `Network`.
      patch: side of a patch.
      heads: attention heads.
      width: of a head.
      depth: blocks.
      classes: labels that it knows; it is asked for the first one.
    """

    size: int
    channels: int
    patch: int
    heads: int
    width: int
    depth: int
    classes: int


def dit_arguments(network: Transformer) -> dict[str, int]:
    """Return the arguments of diffusers' `DiTTransformer2DModel`."""
    return {
        "num_attention_heads": network.heads,
        "attention_head_dim": network.width,
        "in_channels": network.channels,
        "num_layers": network.depth,
        "sample_size": network.size,
        "patch_size": network.patch,
        "num_embeds_ada_norm": network.classes,
    }


NETWORKS: dict[str, Network | Transformer] = {
    "unet": Network(size=32, channels=3, widths=(64, 128), blocks=2, groups=32),
    "tiny": Network(size=28, channels=1, widths=(16, 32), blocks=2, groups=8),
    "dit": Transformer(size=32, channels=4, patch=2, heads=6, width=64, depth=6, classes=10),
}
