"""Learned perceptual distance of images."""

from collections.abc import Mapping
from typing import Any

from diffjax.models.perceptual import Trunk
from diffjax.objectives import metrics
from diffjax.types import Array, Float


def lpips(
    trunk: Trunk, variables: Mapping[str, Any], x: Float[Array, "..."], y: Float[Array, "..."]
) -> Float[Array, " batch"]:
    """Measure how different two images look: LPIPS version 0.1.

    It is `metrics.of_features` of the trunk, whose heads w_l >= 0 are fitted to human judgement, and depends
    on the images' size.

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
    return metrics.of_features(lambda x: trunk.apply(variables, x), heads)(x, y)
