"""Interpolation on the sphere, between latents."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.border import checked
from diffjax.process.level import expand
from diffjax.types import Array, Float


@checked
def slerp(
    x: Float[Array, "batch *shape"], y: Float[Array, "batch *shape"], share: float | Float[Array, " batch"]
) -> Float[Array, "batch *shape"]:
    """Return the point at `share` of the way from x to y along the great circle (Song et al. 2020, eq. 67).

    sin((1 - share) theta) / sin(theta) x + sin(share theta) / sin(theta) y, theta the angle between the two,
    each sample for itself: unit normal latents keep their norm, which a straight line between them loses.

    Args:
      x, y: `[B, ...]` latents.
      share: scalar or `[B]`, in [0, 1].

    Returns:
      `[B, ...]`; x or y at the ends, and the straight line between parallel latents. Opposite ones have no
      shortest way: the result is not finite, or huge.

    Raises:
      ValueError: if the shapes differ, or a share known on the host is outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import samplers
      >>> x = samplers.slerp(jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 3.0]]), 0.5)
      >>> bool(jnp.isclose(jnp.linalg.norm(x), 3.0))
      True
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if not isinstance(share, Tracer) and not ((np.asarray(share) >= 0) & (np.asarray(share) <= 1)).all():
        raise ValueError(f"share must be in [0, 1], got {np.asarray(share).tolist()}")
    share = expand(share, x)
    axes = tuple(range(1, x.ndim))
    norm = lambda a: jnp.sqrt(jnp.sum(a**2, axes, keepdims=True))
    u, v = x / norm(x), y / norm(y)
    turns = 2 * jnp.arctan2(norm(u - v), norm(u + v)) / jnp.pi  # exact also near 0, unlike arccos
    # sin(a theta) / sin(theta) without 0 / 0 at theta = 0
    weight = lambda a: a * jnp.sinc(a * turns) / jnp.sinc(turns)
    return weight(1 - share) * x + weight(share) * y
