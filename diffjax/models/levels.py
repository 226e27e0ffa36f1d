"""What the U-Net and its encoder half are made of: levels of blocks, each level half the size of the last."""

from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn

from diffjax import checks
from diffjax.models.attention import Implementation
from diffjax.models.blocks import (
    AttentionBlock,
    Downsample,
    ResBlock,
    TimeEmbedding,
    Upsample,
    conv3x3,
    mean_pool,
    nearest,
    whole_halvings,
)
from diffjax.models.conditions import Condition, beside, checked_condition, counts
from diffjax.models.embeddings import Order, octaves
from diffjax.models.recompute import Remat, recomputed
from diffjax.models.spatial_transformer import SpatialTransformer
from diffjax.types import Array

Way = Literal["down", "middle", "up"]


class Attention(NamedTuple):
    """What attends at one place.

    Attributes:
      num_heads: heads.
      depth: blocks of a `SpatialTransformer`, which sees tokens; 0 for an `AttentionBlock`, which does not.
      num_groups: groups of its normalisation; None, of an `AttentionBlock`, for no normalisation.
    """

    num_heads: int
    depth: int
    num_groups: int | None


class Told(NamedTuple):
    """What blocks are told beside their input.

    Attributes:
      emb: [B, E], of the times and the condition's vector.
      tokens, mask: those of the condition.
      dtype: of the blocks.
      train: whether dropout acts.
    """

    emb: Array
    tokens: Array | None
    mask: Array | None
    dtype: Any
    train: bool


class Levels(nn.Module):
    """Go down from an image, residual block by residual block, to the middle.

    Parameters correspond one to one to those of guided-diffusion's `UNetModel`, and the fields have its
    names.

    Attributes:
      model_channels: channels of the first level before `channel_mult`.
      channel_mult: multiplies `model_channels` at each level; each level but the first has half the size of
        the one before.
      num_res_blocks: residual blocks of each level on the way down, or of all; one more on the way up.
      attention_resolutions: DOWNSAMPLING RATES at which there is attention, not sizes in pixels: `(2, 4)` is
        16x16 and 8x8 for an image of 32x32. The middle always has attention.
      num_heads: attention heads.
      num_head_channels: channels of each head; if given, it decides the number of heads instead of
        `num_heads`.
      num_heads_upsample: heads on the way up; None for `num_heads`.
      token_features: width of the condition's tokens; where there is attention, a `SpatialTransformer` sees
        them. None for a network without tokens, whose attention is among pixels alone.
      transformer_depth: blocks of each transformer, at each level or at all; the middle has the last level's.
      dropout: rate in the residual blocks, when training.
      use_scale_shift_norm: the time scales and shifts normalised activations (AdaGN) instead of being added.
      resblock_updown: resample inside residual blocks, as BigGAN does.
      conv_resample: without `resblock_updown`, resample by convolutions; otherwise by means and repeated
        pixels.
      pad_after: downsampling convolutions pad below and right alone, as Ho et al. 2020's; otherwise all
        around.
      use_new_attention_order: order of the rows of the attention's q, k, v projection; see `AttentionBlock`.
      attention_implementation: of all attention, see `attention.attend`.
      num_groups: groups of the normalisations; must divide the channels of every block.
      epsilon: of the normalisations; those of transformers have their own.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      time_order, time_shift: of the time's sines and cosines, see `embeddings.timestep_embedding`.
      times: number of times K; a further one changes nothing until it is trained.
      frequencies: of the sines and cosines of `x` that the first convolution sees beside `x`, see
        `embeddings.octaves`; 0 for none.
      map_channels: channels of the condition's map, which the first convolution sees last; 0 for none.
      remat: what of residual blocks and transformers is computed again in the backward pass to save memory,
        see `recompute.recomputed`.
      dtype: compute dtype of the blocks; None follows `x`. Parameters are float32; normalisations, the time's
        embedding and the output are computed in float32.
    """

    model_channels: int = 128
    channel_mult: tuple[float, ...] = (1, 2, 2, 2)
    num_res_blocks: int | tuple[int, ...] = 2
    attention_resolutions: tuple[int, ...] = (2,)
    num_heads: int = 1
    num_head_channels: int | None = None
    num_heads_upsample: int | None = None
    token_features: int | None = None
    transformer_depth: int | tuple[int, ...] = 1
    dropout: float = 0.0
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    conv_resample: bool = True
    pad_after: bool = False
    use_new_attention_order: bool = False
    attention_implementation: Implementation = "xla"
    num_groups: int = 32
    epsilon: float = 1e-5
    time_scale: float = 1.0
    time_order: Order = "cos_sin"
    time_shift: float = 0.0
    times: int = 1
    frequencies: int | tuple[int, ...] = 0
    map_channels: int = 0
    remat: Remat = False
    dtype: Any = None

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return 4 * self.model_channels

    @nn.nowrap
    def blocks(self, level: int) -> int:
        """Return the number of residual blocks of a level, on the way down."""
        return self._each("num_res_blocks", level)

    @nn.nowrap
    def attention(self, level: int, way: Way) -> Attention | None:
        """Return what attends at a level on the way down or up or in the middle; None for nothing."""
        if way != "middle" and 2**level not in self.attention_resolutions:
            return None
        num_heads = (self.num_heads_upsample if way == "up" else None) or self.num_heads
        depth = 0 if self.token_features is None else self._each("transformer_depth", level)
        return Attention(self._heads(self._channels(level), num_heads), depth, self.num_groups)

    @nn.nowrap
    def inside(self, level: int, way: Way) -> bool:
        """Return whether the size changes inside a residual block, after a level's last on that way."""
        return self.resblock_updown

    @nn.nowrap
    def begin(
        self, x: Array, t: Any, cond: Condition | None, train: bool, halvings: int
    ) -> tuple[Array, Told]:
        """Check fields and inputs, and return what the first convolution gives and what blocks are told.

        Args:
          x: images [B, H, W, C], float32 at least; H and W divisible by `2^halvings`.
          t, cond, train: of the network's call.
          halvings: of the picture, on the way down.
        """
        optional = ("num_head_channels", "num_heads_upsample", "token_features")
        counts(
            self, "model_channels", "num_heads", "num_groups", "times",
            *(name for name in optional if getattr(self, name) is not None),
        )  # fmt: skip
        if not self.channel_mult or min(self.channel_mult) <= 0:
            raise ValueError(f"channel_mult must be positive numbers, one a level, got {self.channel_mult!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")
        known, given = get_args(Implementation), self.attention_implementation
        if given not in known:
            raise ValueError(f"attention_implementation must be one of {', '.join(known)}, got {given!r}")
        whole_halvings(x.shape[1:], halvings)
        cond = checked_condition(
            cond,
            x,
            vector_features=self.vector_features,
            map_channels=self.map_channels,
            token_features=self.token_features,
        )
        embed = TimeEmbedding(
            self.vector_features,
            self.model_channels,
            self.time_scale,
            self.times,
            self.time_order,
            self.time_shift,
            name="embed",
        )
        told = Told(embed(t, x, cond.vector), cond.tokens, cond.mask, self.dtype or x.dtype, train)
        seen = beside(octaves(x, self.frequencies), cond.map)
        return conv3x3(self._channels(0), dtype=told.dtype, name="input_blocks_0_0")(seen), told

    @nn.nowrap
    def down(self, x: Array, t: Any, cond: Condition | None, train: bool) -> tuple[list[Array], Told]:
        """Go from x [B, H, W, C] to the last level.

        Args:
          x: images, float32 at least; H and W divisible by `2^(levels - 1)`.
          t, cond, train: of the network's call.

        Returns:
          What every block gave, the first convolution included, from the largest to the smallest; and what
          the blocks to come are told.
        """
        top = len(self.channel_mult) - 1
        h, told = self.begin(x, t, cond, train, halvings=top)
        given = [h]
        for level in range(top + 1):
            for _ in range(self.blocks(level)):
                h = self.stage(h, told, level, "down", f"input_blocks_{len(given)}")
                given.append(h)
            if level < top:
                h = self.resample(h, told, level, "down", f"input_blocks_{len(given)}_0")
                given.append(h)
        return given, told

    @nn.nowrap
    def middle(self, h: Array, told: Told) -> Array:
        """Go through the two residual blocks of the middle and the attention between them."""
        level = len(self.channel_mult) - 1
        h = self._residual(told, h.shape[-1], name="middle_block_0")(h, told.emb)
        h = self._attend(h, told, self.attention(level, "middle"), "middle_block_1")
        return self._residual(told, h.shape[-1], name="middle_block_2")(h, told.emb)

    @nn.nowrap
    def stage(self, h: Array, told: Told, level: int, way: Way, name: str) -> Array:
        """Go through one residual block and, where there is attention, one attention."""
        h = self._residual(told, self._channels(level), name=f"{name}_0")(h, told.emb)
        return self._attend(h, told, self.attention(level, way), f"{name}_1")

    @nn.nowrap
    def resample(self, h: Array, told: Told, level: int, way: Way, name: str) -> Array:
        """Halve or double height and width after the last block of a level."""
        function = mean_pool if way == "down" else nearest
        if self.inside(level, way):
            return self._residual(told, h.shape[-1], resample=function, name=name)(h, told.emb)
        if not self.conv_resample:
            return function(h)
        if way == "down":
            return Downsample(self.pad_after, told.dtype, name=name)(h)
        return Upsample(told.dtype, name=name)(h)

    @nn.nowrap
    def _residual(self, told, channels, **options):
        return recomputed(ResBlock, self.remat)(
            channels,
            num_groups=self.num_groups,
            dropout=self.dropout if told.train else 0.0,
            use_scale_shift_norm=self.use_scale_shift_norm,
            epsilon=self.epsilon,
            dtype=told.dtype,
            **options,
        )

    @nn.nowrap
    def _attend(self, h, told, attention, name):
        if attention is None:
            return h
        heads, depth, groups = attention
        shared = {"implementation": self.attention_implementation, "dtype": told.dtype, "name": name}
        if depth:
            transformer = SpatialTransformer(heads, depth, groups, self.remat, **shared)
            return transformer(h, told.tokens, told.mask)
        order = self.use_new_attention_order
        return AttentionBlock(heads, groups, order, self.epsilon, **shared)(h)

    @nn.nowrap
    def _each(self, name, level):
        """Return the count that a field has at a level: one for all, or one for each."""
        value, levels = getattr(self, name), len(self.channel_mult)
        if not isinstance(value, tuple):
            return checks.count(name, value)
        if len(value) != levels:
            raise ValueError(f"{name}: must be one number or one for each of {levels} levels; got {value}")
        return checks.count(name, value[level])

    @nn.nowrap
    def _channels(self, level):
        return int(self.channel_mult[level] * self.model_channels)

    @nn.nowrap
    def _heads(self, channels, num_heads):
        if self.num_head_channels is None:
            return num_heads
        if channels % self.num_head_channels:
            raise ValueError(
                f"num_head_channels: must divide the {channels} channels of a block with attention; "
                f"got {self.num_head_channels}"
            )
        return channels // self.num_head_channels
