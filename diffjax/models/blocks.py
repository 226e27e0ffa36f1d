"""The pieces that the networks share: times, normalisation, residual and attention blocks (NHWC)."""

import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax import checks
from diffjax.models.attention import Implementation, attend, whole_heads
from diffjax.models.embeddings import Order, timestep_embedding
from diffjax.types import Array, ArrayLike, Float, Num

Dtype = Any
_LECUN = nn.initializers.lecun_normal()  # Flax's own start of a kernel


class TimeEmbedding(nn.Module):
    """Embed the times into one vector, to which that of a condition is added.

    Each time's sinusoidal embedding goes through two dense layers of its own, and the results are added. The
    last layer of every time but the first starts at zero: a network with more times is the one with the first
    alone until it is trained.

    Attributes:
      features: size of the result.
      time_features: size of the sinusoidal embedding.
      time_scale: multiplies the times first; 1 for times 1..T, 1000 for times in [0, 1].
      times: number of times K.
      order, shift: of the sinusoidal embedding, see `embeddings.timestep_embedding`.
    """

    features: int
    time_features: int
    time_scale: float = 1.0
    times: int = 1
    order: Order = "cos_sin"
    shift: float = 0.0

    @nn.compact
    def __call__(
        self, t: ArrayLike, x: Float[Array, "batch ..."], vector: Float[Array, "batch features"] | None = None
    ) -> Float[Array, "batch features"]:
        """Embed times of the inputs x [B, ...], see `checked_times`, and add `vector` [B, features]."""
        checks.positive("time_scale", self.time_scale)
        embedded = []
        for k, each in enumerate(checked_times(t, x, self.times).T):
            name, init = ("time", _LECUN) if k == 0 else (f"times_{k}", nn.initializers.zeros)
            h = timestep_embedding(
                self.time_scale * each, self.time_features, order=self.order, shift=self.shift
            )
            h = nn.silu(nn.Dense(self.features, name=f"{name}_0")(h))
            embedded.append(nn.Dense(self.features, kernel_init=init, name=f"{name}_1")(h))
        return reduce(add, embedded if vector is None else [*embedded, vector])


def checked_times(t: ArrayLike, x: Float[Array, "batch ..."], times: int = 1) -> Num[Array, "batch times"]:
    """Return the times of the inputs x [B, ...] as [B, times].

    Args:
      t: [B, times], or for one time [B] or a scalar.
      x: the inputs.
      times: how many times the network takes.

    Raises:
      ValueError: for another shape, or times that are no real numbers.
    """
    t, batch = jnp.asarray(t), len(x)
    if times == 1 and t.shape in ((), (batch,)):
        t = jnp.broadcast_to(t, (batch,))[:, None]
    if t.shape != (batch, times):
        one = "be a scalar or have shape" if times == 1 else "have shape"
        shape = (batch,) if times == 1 else (batch, times)
        raise ValueError(f"t: must {one} {shape}, as x has {batch} rows; got shape {t.shape}")
    if not (jnp.issubdtype(t.dtype, jnp.integer) or jnp.issubdtype(t.dtype, jnp.floating)):
        raise ValueError(f"t: must be real numbers; got {t.dtype}")
    return t


def whole_halvings(shape: tuple[int, ...], halvings: int) -> None:
    """Refuse images (height, width, channels) that cannot be halved so many times, by a ValueError."""
    factor, (height, width, _) = 2**halvings, shape
    if height % factor or width % factor:
        raise ValueError(f"x: height and width must be divisible by {factor}; got {height}x{width}")


def single(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x in float32 at least."""
    return jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))


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
    def __call__(self, x: Float[Array, "batch *space channels"]) -> Float[Array, "batch *space channels"]:
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


def conv3x3(
    features: int,
    *,
    stride: int = 1,
    before: int = 1,
    zero: bool = False,
    dtype: Dtype = None,
    name: str,
) -> nn.Conv:
    """Make a 3x3 convolution padded by `before` pixels above and left and by one below and right.

    `zero` starts it at zero.
    """
    init = nn.initializers.zeros if zero else _LECUN
    return nn.Conv(features, (3, 3), stride, 2 * ((before, 1),), kernel_init=init, dtype=dtype, name=name)


def mean_pool(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """Halve height and width of x [B, H, W, C] by the mean of 2x2 pixels."""
    return nn.avg_pool(x, (2, 2), (2, 2))


def nearest(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch new_height new_width channels"]:
    """Double height and width of x [B, H, W, C] by repeating pixels."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


class Downsample(nn.Module):
    """Halve height and width by a 3x3 convolution of stride 2.

    Attributes:
      pad_after: pad below and right alone; otherwise all around.
      dtype: of the convolution; None follows the input.
    """

    pad_after: bool = False
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "..."]:
        """Map x [B, H, W, C] to [B, H/2, W/2, C]."""
        before = 0 if self.pad_after else 1
        return conv3x3(x.shape[-1], stride=2, before=before, dtype=self.dtype, name="op")(x)


class Upsample(nn.Module):
    """Double height and width by repeating pixels and a 3x3 convolution."""

    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "..."]:
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
      epsilon: of the normalisations.
      dtype: dtype of the convolutions; None follows the input.

    Reference: Dhariwal & Nichol 2021, section 3 (AdaGN); Brock et al. 2019 (resampling inside).
    """

    features: int
    num_groups: int = 32
    dropout: float = 0.0
    use_scale_shift_norm: bool = False
    resample: Callable[[Array], Array] | None = None
    epsilon: float = 1e-5
    dtype: Dtype = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], emb: Float[Array, "batch features"]
    ) -> Float[Array, "batch new_height new_width out"]:
        """Map x [B, H, W, C] and the conditioning vector emb [B, E] to [B, H', W', features]."""
        h = nn.silu(GroupNorm(self.num_groups, self.epsilon, name="in_norm")(x))
        if self.resample is not None:
            x, h = self.resample(x), self.resample(h)
        h = conv3x3(self.features, dtype=self.dtype, name="in_conv")(h)

        width = 2 * self.features if self.use_scale_shift_norm else self.features
        emb = nn.Dense(width, name="emb")(nn.silu(emb)).astype(h.dtype)[:, None, None, :]
        norm = GroupNorm(self.num_groups, self.epsilon, name="out_norm")
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
      num_groups: groups of the normalisation; None for no normalisation.
      use_new_attention_order: the 3C outputs of the projection are [q, k, v], each cut into heads; otherwise
        they are cut into heads first, each [q, k, v].
      epsilon: of the normalisation.
      dtype: dtype of the products; None follows the input. The softmax is taken in float32 at least.
      implementation: see `attention.attend`.

    Reference: Dhariwal & Nichol 2021, section 3; the initial zero of the output is Ho et al. 2020's.
    """

    num_heads: int
    num_groups: int | None = 32
    use_new_attention_order: bool = False
    epsilon: float = 1e-5
    dtype: Dtype = None
    implementation: Implementation = "xla"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """Map x [B, H, W, C] to the same shape."""
        channels = x.shape[-1]
        whole_heads(self, channels)
        h = tokens = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), channels)
        if self.num_groups is not None:
            h = GroupNorm(self.num_groups, self.epsilon, name="norm")(h)
        h = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(h)
        if self.use_new_attention_order:
            h = h.reshape(*h.shape[:-1], 3, self.num_heads, -1)
            q, k, v = h[:, :, 0], h[:, :, 1], h[:, :, 2]
        else:
            q, k, v = jnp.split(h.reshape(*h.shape[:-1], self.num_heads, -1), 3, axis=-1)
        h = attend(q, k, v, implementation=self.implementation).reshape(tokens.shape)
        zeros = nn.initializers.zeros
        h = nn.Dense(channels, kernel_init=zeros, dtype=self.dtype, name="proj_out")(h)
        return x + h.reshape(x.shape)
