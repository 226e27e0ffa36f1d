"""The pieces that the networks share: conditioning, normalisation, residual and attention blocks (NHWC)."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.models.embeddings import timestep_embedding

Dtype = Any


class Conditioning(nn.Module):
    """Embed the time and, where the network has classes, the label into one vector.

    A sinusoidal embedding goes through two dense layers; the label's row of a learned table is added. For
    classifier-free guidance give the table one row more than there are classes and use the last as the null
    label.

    Attributes:
      features: size of the result.
      time_features: size of the sinusoidal embedding.
      num_classes: rows of the label table; None for an unconditional network.
      time_scale: multiplies `t` first; 1 for times 1..T, 1000 for times in [0, 1].
    """

    features: int
    time_features: int
    num_classes: int | None = None
    time_scale: float = 1.0

    @nn.compact
    def __call__(self, t: jax.Array, cond: jax.Array | None, batch: int) -> jax.Array:
        """Embed times `t` ([B] or a scalar) and labels `cond` (int [B] or None) into [batch, features]."""
        t = jnp.asarray(t)
        if t.shape not in ((), (batch,)):
            raise ValueError(f"t: must be a scalar or have shape ({batch},) as x has; got shape {t.shape}")
        t = jnp.broadcast_to(t, (batch,))
        h = timestep_embedding(self.time_scale * t, self.time_features)
        h = nn.Dense(self.features, name="time_0")(h)
        h = nn.Dense(self.features, name="time_1")(nn.silu(h))
        if self.num_classes is None:
            if cond is not None:
                raise ValueError("cond: the network is unconditional (num_classes=None), so it must be None")
            return h
        return h + self._label(cond, batch)

    def _label(self, cond, batch):
        if cond is None:
            raise ValueError(f"cond: the network needs labels (num_classes={self.num_classes}); got None")
        cond = jnp.asarray(cond)
        if cond.shape != (batch,) or not jnp.issubdtype(cond.dtype, jnp.integer):
            raise ValueError(
                f"cond: must be integer labels of shape ({batch},); got {cond.dtype} of shape {cond.shape}"
            )
        normal = nn.initializers.normal(1.0)
        return nn.Embed(self.num_classes, self.features, embedding_init=normal, name="label")(cond)


class GroupNorm(nn.Module):
    """Normalise groups of channels over space, in float32 at least, and return the dtype of the input.

    Space is summed per channel before channels are folded into groups, which keeps the wide axis innermost.
    The variance is taken about the mean: `E[x^2] - E[x]^2` loses its digits where the mean is large.

    Attributes:
      num_groups: groups of neighbouring channels; must divide the channels.
      epsilon: added to the variance.

    Reference: Wu & He 2018, equation (7).
    """

    num_groups: int = 32
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise x [B, ..., C]."""
        channels = x.shape[-1]
        if channels % self.num_groups:
            where = f"the {channels} channels of {'/'.join(self.path)}"
            raise ValueError(f"num_groups: must divide {where}; got {self.num_groups}")
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        space = tuple(range(1, x.ndim - 1))

        def group_mean(h):
            h = h.mean(space, keepdims=True)
            groups = h.reshape(*h.shape[:-1], self.num_groups, -1).mean(-1)
            return jnp.repeat(groups, channels // self.num_groups, axis=-1)

        h = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        h = h - group_mean(h)
        h = h * (jax.lax.rsqrt(group_mean(h**2) + self.epsilon) * scale) + bias
        return h.astype(x.dtype)


def conv3x3(features: int, *, stride: int = 1, zero: bool = False, dtype: Dtype = None, name: str) -> nn.Conv:
    """Make a 3x3 convolution padded by one pixel on every side; `zero` starts it at zero."""
    init = nn.initializers.zeros if zero else nn.initializers.lecun_normal()
    # "SAME" would pad a stride of 2 on one side only, unlike the published networks.
    return nn.Conv(features, (3, 3), stride, ((1, 1), (1, 1)), kernel_init=init, dtype=dtype, name=name)


def mean_pool(x: jax.Array) -> jax.Array:
    """Halve height and width of x [B, H, W, C] by the mean of 2x2 pixels."""
    return nn.avg_pool(x, (2, 2), (2, 2))


def nearest(x: jax.Array) -> jax.Array:
    """Double height and width of x [B, H, W, C] by repeating pixels."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


class Downsample(nn.Module):
    """Halve height and width by a 3x3 convolution of stride 2."""

    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [B, H, W, C] to [B, H/2, W/2, C]."""
        return conv3x3(x.shape[-1], stride=2, dtype=self.dtype, name="op")(x)


class Upsample(nn.Module):
    """Double height and width by repeating pixels and a 3x3 convolution."""

    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [B, H, W, C] to [B, 2H, 2W, C]."""
        return conv3x3(x.shape[-1], dtype=self.dtype, name="conv")(nearest(x))


class ResBlock(nn.Module):
    """Two normalised convolutions around the conditioning vector, added to the input.

    Attributes:
      features: output channels; the input is projected by a 1x1 convolution where it has others.
      num_groups: groups of the normalisations.
      dropout: rate before the second convolution. It needs the "dropout" rng where it is not 0.
      use_scale_shift_norm: the vector scales and shifts the second normalisation; otherwise it is added
        before it.
      resample: `mean_pool` or `nearest`, applied to both branches; None keeps the size.
      dtype: dtype of the convolutions; None follows the input.

    Reference: Dhariwal & Nichol 2021, section 3 (AdaGN); Brock et al. 2019 (resampling inside).
    """

    features: int
    num_groups: int = 32
    dropout: float = 0.0
    use_scale_shift_norm: bool = False
    resample: Callable[[jax.Array], jax.Array] | None = None
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: jax.Array, emb: jax.Array) -> jax.Array:
        """Map x [B, H, W, C] and the conditioning vector emb [B, E] to [B, H', W', features]."""
        h = nn.silu(GroupNorm(self.num_groups, name="in_norm")(x))
        if self.resample is not None:
            x, h = self.resample(x), self.resample(h)
        h = conv3x3(self.features, dtype=self.dtype, name="in_conv")(h)

        width = 2 * self.features if self.use_scale_shift_norm else self.features
        emb = nn.Dense(width, name="emb")(nn.silu(emb)).astype(h.dtype)[:, None, None, :]
        norm = GroupNorm(self.num_groups, name="out_norm")
        if self.use_scale_shift_norm:
            scale, shift = jnp.split(emb, 2, axis=-1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + emb)
        h = nn.Dropout(self.dropout, deterministic=False)(nn.silu(h))
        h = conv3x3(self.features, zero=True, dtype=self.dtype, name="out_conv")(h)

        if x.shape[-1] != self.features:
            # A 1x1 convolution as a matrix product: XLA's gradient of the former is far slower.
            x = nn.Dense(self.features, dtype=self.dtype, name="skip")(x)
        return x + h


class AttentionBlock(nn.Module):
    """Let the pixels of an image attend to each other, and add the result to the input.

    Attributes:
      num_heads: heads; must divide the channels.
      num_groups: groups of the normalisation.
      use_new_attention_order: the 3C outputs of the projection are [q, k, v], each cut into heads; otherwise
        they are cut into heads first, each [q, k, v].
      dtype: dtype of the products; None follows the input. The softmax is taken in float32 at least.

    Reference: Dhariwal & Nichol 2021, section 3; the initial zero of the output is Ho et al. 2020's.
    """

    num_heads: int
    num_groups: int = 32
    use_new_attention_order: bool = False
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [B, H, W, C] to the same shape."""
        channels = x.shape[-1]
        if channels % self.num_heads:
            where = f"the {channels} channels of {'/'.join(self.path)}"
            raise ValueError(f"num_heads: must divide {where}; got {self.num_heads}")
        tokens = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), channels)
        h = GroupNorm(self.num_groups, name="norm")(tokens)
        h = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(h)
        if self.use_new_attention_order:
            h = h.reshape(*h.shape[:-1], 3, self.num_heads, -1)
            q, k, v = h[:, :, 0], h[:, :, 1], h[:, :, 2]
        else:
            q, k, v = jnp.split(h.reshape(*h.shape[:-1], self.num_heads, -1), 3, axis=-1)
        h = jax.nn.dot_product_attention(q, k, v).reshape(tokens.shape)
        zeros = nn.initializers.zeros
        h = nn.Dense(channels, kernel_init=zeros, dtype=self.dtype, name="proj_out")(h)
        return x + h.reshape(x.shape)
