"""Distances of two batches, one number a sample, for losses between a student and its target."""

import math
from collections.abc import Callable

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import mean_of_each, sum_of_each
from diffjax.types import Array, Float

Metric = Callable[[Array, Array], Array]  # (a `[B, ...]`, b `[B, ...]`) -> `[B]`


@checked
def l1(a: Float[Array, "batch *shape"], b: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return the mean of |a - b|, `[B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import metrics
      >>> metrics.l1(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 5.0]])).tolist()
      [1.5]
    """
    return mean_of_each(jnp.abs(a - b))


@checked
def l2(a: Float[Array, "batch *shape"], b: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return the mean of (a - b)^2, `[B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import metrics
      >>> metrics.l2(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 5.0]])).tolist()
      [4.5]
    """
    return mean_of_each((a - b) ** 2)


@checked
def pseudo_huber(c: float | None = None) -> Metric:
    """Return the metric sqrt(||a - b||^2 + c^2) - c (Song & Dhariwal 2023, eq. 7).

    Near 0 it is l2's, far away a norm, so that outliers weigh less.

    Args:
      c: positive; None is the paper's 0.00054 sqrt(D) of D dimensions.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import metrics
      >>> metrics.pseudo_huber(c=4.0)(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 5.0]])).tolist()
      [1.0]
    """
    if c is not None:
        checks.positive("c", c)

    def metric(a, b):
        checks.same_shape("b", b, a, "a")
        width = 0.00054 * math.sqrt(math.prod(a.shape[1:])) if c is None else c
        square = sum_of_each((a - b) ** 2)
        return square / (jnp.sqrt(square + width**2) + width)  # without the difference of near numbers

    return metric
