"""Distances of two batches, one number a sample, for losses between a student and its target."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
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
def linf(a: Float[Array, "batch *shape"], b: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return the largest of |a - b|, `[B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import metrics
      >>> metrics.linf(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 5.0]])).tolist()
      [3.0]
    """
    return jnp.max(jnp.abs(a - b).reshape(len(a), -1), axis=1)


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


@checked
def of_features(
    features: Callable[[Array], Any], heads: Sequence[Float[Array, " _"]] | None = None
) -> Metric:
    """Return the metric sum_l mean_hw w_l . (u_l(a) - u_l(b))^2 of feature maps (Zhang et al. 2018, eq. 1).

    u_l is the l-th map, scaled to unit length over its channels at every place. It is 0 for equal inputs (to
    1e-12, as compilers round), symmetric, and has finite gradients.

    Args:
      features: `[B, ...]` -> a sequence of maps `[B, H, W, C]`, of any network.
      heads: weights w_l `[C]` of each map; None for 1, of features that nobody fitted to what people say.

    Reference:
      Zhang et al. 2018 (arXiv:1801.03924); without the square root, as in the authors' package.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import metrics
      >>> a, b = jnp.array([[[[3.0, 0.0]]]]), jnp.array([[[[0.0, 9.0]]]])
      >>> metrics.of_features(lambda x: [x])(a, b).tolist()
      [2.0]
    """

    def metric(a, b):
        checks.same_shape("b", b, a, "a")
        distances = []
        for i, (one, other) in enumerate(zip(features(a), features(b))):
            apart = jnp.square(_unit(one) - _unit(other))
            apart = apart.sum(-1) if heads is None else apart @ heads[i]
            distances.append(jnp.mean(apart, axis=(1, 2)))
        return sum(distances[1:], distances[0])

    return metric


def _unit(x):
    """Scale to unit length over channels; the floor also gives dead places (all 0) a gradient of 0."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-20)
