"""The 256 bins of 8-bit pixels in [-1, 1], each of width 2/255 around its value."""

import math

import jax.numpy as jnp

from diffjax.types import Array

HALF = 1 / 255  # of a bin's width


def log_mass(x: Array, below: Array, above: Array, between: Array) -> Array:
    """Return the log probability of each pixel's bin, at least log 1e-12: the first and last are open-ended.

    Args:
      x: pixels in [-1, 1].
      below: log probability of all up to the bin's upper edge.
      above: of all from its lower edge.
      between: of what lies between its edges.
    """
    inside = jnp.where(x > 0.999, above, between)
    return jnp.maximum(jnp.where(x < -0.999, below, inside), math.log(1e-12))
