"""Learned perceptual distance of images."""

from collections.abc import Mapping
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
    maps = zip(trunk.apply(variables, x), trunk.apply(variables, y))
    distances = [
        jnp.mean(jnp.square(_unit(a) - _unit(b)) @ variables["heads"][f"head_{i}"], axis=(1, 2))
        for i, (a, b) in enumerate(maps)
    ]
    return sum(distances)


def _unit(x):
    """Scale to unit length over channels; the floor also gives dead places (all 0) a gradient of 0."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-20)
