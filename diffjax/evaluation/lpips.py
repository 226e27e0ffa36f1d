"""Learned perceptual distance of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.models.perceptual import Trunk
from diffjax.types import Array, Float


def lpips(
    trunk: Trunk, variables: Mapping[str, Any], x: Float[Array, "..."], y: Float[Array, "..."]
) -> Float[Array, " batch"]:
    """Measure how different two images look: LPIPS version 0.1.

    sum_l mean_hw w_l . (u_l(x) - u_l(y))^2 with u_l the l-th feature map, scaled to unit length over its
    channels at every place, and w_l >= 0 fitted to human judgement. It is 0 for equal images (to
    1e-12, as compilers round), symmetric, has finite gradients, and depends on the images' size.

    Args:
      trunk, variables: of `diffjax.pretrained.load(path, "lpips_alexnet")` or `"lpips_vgg16"`.
      x, y: images [B, H, W, 3] in [-1, 1]; repeat a grey channel three times.

    Returns:
      [B].

    Raises:
      ValueError: if the shapes differ, or the trunk refuses them.

    Reference:
      Zhang et al. 2018 (arXiv:1801.03924), eq. 1; without the square root, as in the authors' package.
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y: must have the same shape; got {list(x.shape)} and {list(y.shape)}")
    heads = [variables["heads"][f"head_{i}"] for i in range(len(trunk.stages))]
    return of_maps(trunk.apply(variables, x), trunk.apply(variables, y), heads)


def of_maps(
    x: Any, y: Any, heads: Sequence[Float[Array, " channels"]] | None = None
) -> Float[Array, " batch"]:
    """Measure how different two images' feature maps are, see `lpips`.

    Args:
      x, y: maps [B, H, W, C] of each, from any network.
      heads: weights [C] of each map; None for 1, of features that nobody fitted to judgements.

    Returns:
      [B].
    """
    distances = []
    for i, (a, b) in enumerate(zip(x, y)):
        apart = jnp.square(_unit(a) - _unit(b))
        apart = apart.sum(-1) if heads is None else apart @ heads[i]
        distances.append(jnp.mean(apart, axis=(1, 2)))
    return sum(distances[1:], distances[0])


def _unit(x):
    """Scale to unit length over channels; the floor also gives dead places (all 0) a gradient of 0."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-20)
