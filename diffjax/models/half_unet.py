"""The half U-Net: a noise-aware classifier or encoder of images (Dhariwal & Nichol 2021)."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.attention import attend, whole_heads
from diffjax.models.blocks import GroupNorm, single
from diffjax.models.conditions import Condition, counts
from diffjax.models.levels import Levels
from diffjax.types import Array, ArrayLike, Float

_HIDDEN = 2048  # units of the hidden layer after the spatial means


class HalfUNet(Levels):
    """Give numbers to images at any noise level: logits of classes, or an embedding.

    The way down and the middle of a `UNet`, and then one of guided-diffusion's pools:

    - "attention": the mean over space asks, and every pixel answers, as in CLIP. Parameters know the size.
    - "adaptive": the mean over space, and a dense layer that starts at zero.
    - "spatial": the means over space of every block's output, a hidden layer with a ReLU, a dense layer.
    - "spatial_v2": the same with a normalisation and a SiLU.

    Attributes:
      out_features: numbers for each image; of a classifier, the classes.
      pool: one of these.

    The others are those of `Levels`; nothing here goes up.

    Reference: Dhariwal & Nichol 2021, section 4 and appendix H; Radford et al. 2021 (attention pooling).
    """

    out_features: int = 1000
    pool: Literal["attention", "adaptive", "spatial", "spatial_v2"] = "attention"

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch features"]:
        """Apply the network.

        Args:
          x: images [B, H, W, C]; H and W divisible by `2^(levels - 1)`.
          t: times [B], or [B, times].
          cond: as of a `UNet`; None for nothing, which is a classifier's.
          train: switches dropout on; it needs the "dropout" rng.

        Returns:
          [B, out_features], float32 at least.

        Raises:
          ValueError: for shapes, conditions, groups or heads that do not fit, or another `pool`.
        """
        counts(self, "out_features")
        if self.pool not in _POOLS:
            raise ValueError(f"pool: must be one of {', '.join(_POOLS)}; got {self.pool!r}")
        x = single(x)
        given, told = self.down(x, t, cond, train)
        given.append(self.middle(given[-1], told))
        return _POOLS[self.pool](self, [h.astype(x.dtype) for h in given])

    @nn.nowrap
    def _norm(self) -> GroupNorm:
        return GroupNorm(self.num_groups, self.epsilon, name="out_norm")


def _attention(net, given):
    h = nn.silu(net._norm()(given[-1]))
    heads = net.attention(len(net.channel_mult) - 1, "middle").num_heads
    return AttentionPool(net.out_features, heads, net.dtype, name="out")(h)


def _adaptive(net, given):
    h = nn.silu(net._norm()(given[-1])).mean((1, 2))
    return nn.Dense(net.out_features, kernel_init=nn.initializers.zeros, name="out")(h)


def _spatial(activate):
    def pool(net, given):
        means = jnp.concatenate([h.mean((1, 2)) for h in given], axis=-1)
        h = nn.Dense(_HIDDEN, name="out_hidden")(means)
        return nn.Dense(net.out_features, name="out")(activate(net, h))

    return pool


_POOLS = {
    "attention": _attention,
    "adaptive": _adaptive,
    "spatial": _spatial(lambda net, h: nn.relu(h)),
    "spatial_v2": _spatial(lambda net, h: nn.silu(net._norm()(h))),
}


class AttentionPool(nn.Module):
    """Make one vector of an image: the mean of its pixels attends to itself and to them.

    Attributes:
      features: size of the vector.
      num_heads: heads; must divide the channels.
      dtype: dtype of the products; None follows the input. The softmax is taken in float32 at least.

    Reference: Radford et al. 2021, section 2.4.
    """

    features: int
    num_heads: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch features"]:
        """Map x [B, H, W, C] to [B, features]; H and W are those of the initialisation."""
        channels = x.shape[-1]
        whole_heads(self, channels)
        pixels = x.reshape(len(x), math.prod(x.shape[1:-1]), channels)
        h = jnp.concatenate([pixels.mean(1, keepdims=True), pixels], axis=1)
        start, place = nn.initializers.normal(channels**-0.5), "positional_embedding"
        known = self.get_variable("params", place)
        if known is not None and known.shape != h.shape[1:]:
            raise ValueError(
                f"x: the pool was made for {len(known) - 1} pixels at the last level; got "
                f"{x.shape[1]}x{x.shape[2]}"
            )
        h = h + self.param(place, start, h.shape[1:])
        h = nn.Dense(3 * channels, dtype=self.dtype, name="qkv_proj")(h)
        q, k, v = jnp.split(h.reshape(*h.shape[:-1], 3 * self.num_heads, -1), 3, axis=2)
        h = attend(q[:, :1], k, v).reshape(len(x), channels).astype(x.dtype)
        return nn.Dense(self.features, name="c_proj")(h)
