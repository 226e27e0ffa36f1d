"""The logistic distribution, whose mass between two points keeps its digits."""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import bins, checks
from diffjax.types import Array, ArrayLike, Float


def log_mass(lower: Array, upper: Array, gap: Array | None = None) -> Array:
    """Return log(sigmoid(upper) - sigmoid(lower)), without a difference of two numbers near 1.

    Args:
      lower, upper: logits, lower < upper.
      gap: upper - lower, where it is known better than by that difference.
    """
    apart: Any = upper - lower if gap is None else gap
    # sigmoid(u) - sigmoid(l) = (e^(u-l) - 1) sigmoid(l) sigmoid(-u)
    outside = jax.nn.log_sigmoid(lower) + jax.nn.log_sigmoid(-upper)
    return apart + jnp.log(-jnp.expm1(-apart)) + outside


@checked
def discretized_log_prob(
    mean: ArrayLike, log_scale: ArrayLike, x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return the log probability of each 8-bit value under a logistic integrated over its bin.

    The decoder of Kingma et al. 2016 (IAF) and of PixelCNN++: 256 bins of width 2/255 centred on the values
    of [-1, 1], the first and the last open-ended, so that they sum to 1.

    Args:
      mean, log_scale: broadcast against x.
      x: `[B, ...]`, 8-bit images scaled to [-1, 1].

    Returns:
      Nats, elementwise.

    Raises:
      ValueError: outside `jit`, for values outside [-1, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import logistic
      >>> bins = jnp.arange(256) / 127.5 - 1
      >>> round(float(jnp.exp(logistic.discretized_log_prob(0.3, -1.0, bins)).sum()), 4)
      1.0
    """
    checks.pixels("x", x)
    x = jnp.asarray(x)
    scaled = jnp.exp(-jnp.asarray(log_scale, x.dtype))
    centred = (x - mean) * scaled
    half = scaled * bins.HALF
    lower, upper = centred - half, centred + half
    inside = log_mass(lower, upper, jnp.broadcast_to(2 * half, x.shape))
    return bins.log_mass(x, jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower), inside)
