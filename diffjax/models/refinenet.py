"""The score networks of NCSN: a RefineNet with dilated convolutions (Song & Ermon 2019 and 2020)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.blocks import checked_times, single, whole_halvings
from diffjax.models.conditions import Condition, checked_condition, counts
from diffjax.types import Array, ArrayLike, Float, Int


class InstanceNormPlus(nn.Module):
    """Normalise each channel over space, and put back how its mean differs from the other channels' means.

    gamma (x_k - mu_k) / s_k + beta + alpha (mu_k - m) / v, where mu_k and s_k are of channel k over space,
    and m and v the mean and standard deviation of the mu_k over channels (Song & Ermon 2019, app. A).

    Attributes:
      num_levels: rows of gamma, beta and alpha, one a noise level; None for one row for all.
      epsilon: added to the variances.
    """

    num_levels: int | None = None
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], level: Int[Array, " batch"] | None
    ) -> Float[Array, "batch height width channels"]:
        """Normalise x [B, H, W, C] at the levels [B], 0..num_levels-1; in float32 at least."""
        channels = x.shape[-1]
        rows = (channels,) if self.num_levels is None else (self.num_levels, channels)
        around_one = lambda key, shape: 1 + 0.02 * jax.random.normal(key, shape)
        inits = {"gamma": around_one, "beta": nn.initializers.zeros, "alpha": around_one}
        tables = [self.param(name, init, rows) for name, init in inits.items()]
        if level is not None:
            tables = [jnp.take(table, level, axis=0)[:, None, None] for table in tables]
        gamma, beta, alpha = tables
        h = single(x)
        mean = h.mean((1, 2), keepdims=True)
        far = mean - mean.mean(-1, keepdims=True)
        far = far * jax.lax.rsqrt((far**2).mean(-1, keepdims=True) + self.epsilon)
        h = h - mean
        h = h * jax.lax.rsqrt((h**2).mean((1, 2), keepdims=True) + self.epsilon)
        return (gamma * h + beta + alpha * far).astype(x.dtype)


class RefineNet(nn.Module):
    """Predict from images, as NCSN does.

    Two residual blocks at full size, two at half size, two for each dilation; then each stage, the last
    first, is refined by what comes from below: residual convolutions, fusion, chained pooling.

    With `num_levels` it is version 1: every normalisation has its own scales and shifts for each level,
    refinement is normalised too and pools means. Without, it is version 2: the network does not see the time,
    refinement is not normalised and pools maxima. Version 2's score f(x) / sigma is this network read as kind
    "eps", f = -eps.

    Attributes:
      features: channels of the first stage; twice as many in the others.
      dilations: of the stages at half size after the first; the papers' (2, 4) for 32 x 32.
      num_levels: L, for times 1..L; None for a network without times.
      out_channels: channels of the output; None for those of `x`.
      dtype: compute dtype of the convolutions; None follows `x`. Parameters are float32.
    """

    features: int = 128
    dilations: tuple[int, ...] = (2, 4)
    num_levels: int | None = None
    out_channels: int | None = None
    dtype: Any = None

    @property
    def vector_features(self) -> None:
        """None: the network takes no vector."""
        return None

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch height width out"]:
        """Apply the network.

        Args:
          x: images [B, H, W, C]; H and W even.
          t: times [B]; with num_levels rounded to 1..num_levels, any other gives NaN.
          cond: must say nothing; None, or a Condition whose fields are None.
          train: accepted by every network; this one behaves the same.

        Returns:
          [B, H, W, out_channels], float32 at least.

        Raises:
          ValueError: for another shape, or a condition.
        """
        del train
        counts(self, "features", *(["num_levels"] if self.num_levels is not None else []))
        whole_halvings(x.shape[1:], 1)
        x = single(x)
        checked_condition(cond, x, vector_features=self.vector_features)
        t = checked_times(t, x)[:, 0]
        level, norm, refined_norm, pool = None, _normaliser(None), _no_norm, nn.max_pool
        if self.num_levels is not None:
            level = jnp.rint(t).astype(int) - 1
            level = jnp.where(level < 0, self.num_levels, level)  # out of range, not the last row
            norm = refined_norm = _normaliser(self.num_levels)
            pool = nn.avg_pool
        conv = partial(_conv, dtype=self.dtype)
        norm, refined_norm = partial(norm, level=level), partial(refined_norm, level=level)
        residual = partial(_residual, conv=conv, norm=norm)
        wide = 2 * self.features

        h = conv(x, self.features, name="begin")
        stages = [residual(residual(h, self.features, name="stage_0_0"), self.features, name="stage_0_1")]
        h = residual(stages[0], wide, halve=True, name="stage_1_0")
        stages.append(residual(h, wide, name="stage_1_1"))
        for i, dilation in enumerate(self.dilations):
            h = residual(stages[-1], wide, dilation, project=True, name=f"stage_{i + 2}_0")
            stages.append(residual(h, wide, dilation, name=f"stage_{i + 2}_1"))

        refine = partial(_refine, conv=conv, norm=refined_norm, pool=pool)
        h = None
        for i in reversed(range(len(stages))):
            inputs = [stages[i]] if h is None else [stages[i], h]
            width = wide if i > 1 else self.features
            h = refine(inputs, width, blocks=3 if i == 0 else 1, name=f"refine_{i}")
        h = nn.elu(norm(h, name="end_norm")).astype(x.dtype)
        return _conv(h, self.out_channels or x.shape[-1], name="end")


def _conv(x, features, dilation=1, kernel=3, bias=True, *, name, dtype=None):
    """Convolve with padding that keeps the size."""
    dilated = (dilation, dilation)
    return nn.Conv(
        features, (kernel, kernel), kernel_dilation=dilated, use_bias=bias, dtype=dtype, name=name
    )(x)


def _normaliser(num_levels):
    return lambda x, level, name: InstanceNormPlus(num_levels, name=name)(x, level)


def _no_norm(x, level, name):
    return x


def _residual(x, features, dilation=1, *, name, conv, norm, halve=False, project=False):
    """Add two normalised convolutions to x, whose shortcut is a convolution where the shape changes."""
    inner = x.shape[-1] if halve or project else features
    h = conv(nn.elu(norm(x, name=f"{name}_norm_0")), inner, dilation, name=f"{name}_conv_0")
    h = conv(nn.elu(norm(h, name=f"{name}_norm_1")), features, dilation, name=f"{name}_conv_1")
    if halve:
        x = conv(x, features, kernel=1, name=f"{name}_skip")
        return nn.avg_pool(x + h, (2, 2), (2, 2))
    if project or x.shape[-1] != features:
        x = conv(x, features, dilation, name=f"{name}_skip")
    return x + h


def _refine(inputs, features, blocks, *, name, conv, norm, pool: Callable):
    """Fuse stages of one or two sizes into one of the first one's size."""
    units = partial(_units, conv=conv, norm=norm)
    hs = [units(x, 2, name=f"{name}_adapt_{i}") for i, x in enumerate(inputs)]
    h = hs[0]
    if len(hs) > 1:
        size = inputs[0].shape[1:3]
        fused = [
            conv(norm(x, name=f"{name}_fuse_norm_{i}"), features, name=f"{name}_fuse_{i}")
            for i, x in enumerate(hs)
        ]
        h = sum(jax.image.resize(x, (len(x), *size, features), "bilinear") for x in fused)
    h = path = nn.elu(h)
    for i in range(2):
        path = pool(norm(path, name=f"{name}_pool_norm_{i}"), (5, 5), padding="SAME")
        path = conv(path, h.shape[-1], bias=False, name=f"{name}_pool_{i}")
        h = h + path
    return units(h, blocks, name=f"{name}_out")


def _units(x, blocks, *, name, conv, norm):
    """Residual convolution units: two activated convolutions each."""
    for i in range(blocks):
        h = x
        for j in range(2):
            h = nn.elu(norm(h, name=f"{name}_{i}_norm_{j}"))
            h = conv(h, x.shape[-1], bias=False, name=f"{name}_{i}_conv_{j}")
        x = x + h
    return x
