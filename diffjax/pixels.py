"""The one rule between pixels outside, uint8 0..255, and numbers inside, float32 in [-1, 1]."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.types import Array, Float, UInt8


@checked
def to_model(images: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Map uint8 pixels 0..255 of any shape to float32 in [-1, 1]: `x / 127.5 - 1`.

    Args:
      images: uint8, of numpy or of jax; a tracer too.

    Returns:
      The same shape, of numpy where `images` is.

    Raises:
      ValueError: for another dtype.
    """
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def require_images(images: np.ndarray) -> np.ndarray:
    """Return images; ValueError unless they are uint8 [N, H, W, 1 or 3], at least one."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        found = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"images must be uint8 [N, H, W, 1 or 3] with N >= 1, got {found}")
    return images


@checked
def to_uint8(x: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """Map floats of any shape to the nearest uint8 pixels, clipping to [-1, 1]; the inverse of `to_model`.

    Args:
      x: floating point, of numpy or of jax; a tracer too.

    Returns:
      The same shape, of numpy where `x` is.

    Raises:
      ValueError: if `x` is not floating point.
    """
    xp = jnp if isinstance(x, jax.Array) else np
    return xp.rint(np.float32(127.5) * (xp.clip(x.astype(np.float32), -1, 1) + 1)).astype(np.uint8)
