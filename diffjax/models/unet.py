"""The U-Net of Dhariwal & Nichol 2021 (ADM); its options include the earlier one of Nichol & Dhariwal
2021."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.blocks import (
    AttentionBlock,
    Downsample,
    GroupNorm,
    ResBlock,
    TimeEmbedding,
    Upsample,
    conv3x3,
    mean_pool,
    nearest,
    single,
    whole_halvings,
)
from diffjax.models.conditions import Condition, beside, checked_condition, counts
from diffjax.models.embeddings import octaves
from diffjax.types import Array, ArrayLike, Float


class UNet(nn.Module):
    """Predict from images: residual blocks down, in the middle and up again, joined by skips.

    Parameters correspond one to one to those of guided-diffusion's `UNetModel`, and the fields have its
    names.

    Attributes:
      out_channels: channels of the output; None for those of `x`, `2 * C` for a learned variance.
      model_channels: channels of the first level before `channel_mult`.
      channel_mult: multiplies `model_channels` at each level; each level but the first has half the size of
        the one before.
      num_res_blocks: residual blocks of each level on the way down; one more on the way up.
      attention_resolutions: DOWNSAMPLING RATES at which there is attention, not sizes in pixels: `(2, 4)` is
        16x16 and 8x8 for an image of 32x32. The middle always has attention.
      num_heads: attention heads.
      num_head_channels: channels of each head; if given, it decides the number of heads instead of
        `num_heads`.
      num_heads_upsample: heads on the way up; None for `num_heads`.
      dropout: rate in the residual blocks, when training.
      use_scale_shift_norm: the time scales and shifts normalised activations (AdaGN) instead of being added.
      resblock_updown: resample inside residual blocks, as BigGAN does.
      conv_resample: without `resblock_updown`, resample by convolutions; otherwise by means and repeated
        pixels.
      use_new_attention_order: order of the rows of the attention's q, k, v projection; see `AttentionBlock`.
      num_groups: groups of the normalisations; must divide the channels of every block.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      times: number of times K; a further one changes nothing until it is trained.
      frequencies: of the sines and cosines of `x` that the first convolution sees beside `x`, see
        `embeddings.octaves`; 0 for none.
      map_channels: channels of the condition's map, which the first convolution sees last; 0 for none.
      remat: recompute residual blocks in the backward pass to save memory.
      dtype: compute dtype of the blocks; None follows `x`. Parameters are float32; normalisations, the time's
        embedding and the output are computed in float32.

    Reference: Dhariwal & Nichol 2021, section 3 and appendix I.
    """

    out_channels: int | None = None
    model_channels: int = 128
    channel_mult: tuple[float, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (2,)
    num_heads: int = 1
    num_head_channels: int | None = None
    num_heads_upsample: int | None = None
    dropout: float = 0.0
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    conv_resample: bool = True
    use_new_attention_order: bool = False
    num_groups: int = 32
    time_scale: float = 1.0
    times: int = 1
    frequencies: int | tuple[int, ...] = 0
    map_channels: int = 0
    remat: bool = False
    dtype: Any = None

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return 4 * self.model_channels

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
          x: images [B, H, W, C]; H and W divisible by `2^(levels - 1)`.
          t: times [B], or [B, times].
          cond: vector [B, vector_features], map [B, H, W, map_channels], no tokens; None for nothing.
          train: switches dropout on; it needs the "dropout" rng.

        Returns:
          [B, H, W, out_channels], float32 at least. Zero at initialisation.

        Raises:
          ValueError: for shapes, conditions, groups or heads that do not fit.
        """
        counts(self, "model_channels", "num_res_blocks", "num_heads", "num_groups", "times")
        whole_halvings(x, len(self.channel_mult) - 1)
        x = single(x)
        cond = checked_condition(
            cond, x, vector_features=self.vector_features, map_channels=self.map_channels
        )
        dtype = self.dtype or x.dtype
        embed = TimeEmbedding(
            self.vector_features, self.model_channels, self.time_scale, self.times, name="embed"
        )
        emb = embed(t, x, cond.vector)
        common = {"num_groups": self.num_groups, "dtype": dtype}
        residual = partial(
            nn.remat(ResBlock) if self.remat else ResBlock,
            dropout=self.dropout if train else 0.0,
            use_scale_shift_norm=self.use_scale_shift_norm,
            **common,
        )
        attend = partial(AttentionBlock, use_new_attention_order=self.use_new_attention_order, **common)

        def stage(h, level, rate, heads, name):
            channels = self._channels(level)
            h = residual(channels, name=f"{name}_0")(h, emb)
            if rate in self.attention_resolutions:
                h = attend(self._heads(channels, heads), name=f"{name}_1")(h)
            return h

        def resample(h, function, convolution, name):
            if self.resblock_updown:
                return residual(h.shape[-1], resample=function, name=name)(h, emb)
            return convolution(dtype, name=name)(h) if self.conv_resample else function(h)

        seen = beside(octaves(x, self.frequencies), cond.map)
        h = conv3x3(self._channels(0), dtype=dtype, name="input_blocks_0_0")(seen)
        skips, rate, top = [h], 1, len(self.channel_mult) - 1
        for level in range(top + 1):
            for _ in range(self.num_res_blocks):
                h = stage(h, level, rate, self.num_heads, f"input_blocks_{len(skips)}")
                skips.append(h)
            if level < top:
                h = resample(h, mean_pool, Downsample, f"input_blocks_{len(skips)}_0")
                skips.append(h)
                rate *= 2

        h = residual(h.shape[-1], name="middle_block_0")(h, emb)
        h = attend(self._heads(h.shape[-1], self.num_heads), name="middle_block_1")(h)
        h = residual(h.shape[-1], name="middle_block_2")(h, emb)

        heads, blocks = self.num_heads_upsample or self.num_heads, len(skips)
        for level in reversed(range(top + 1)):
            for i in range(self.num_res_blocks + 1):
                name = f"output_blocks_{blocks - len(skips)}"
                h = stage(jnp.concatenate([h, skips.pop()], axis=-1), level, rate, heads, name)
                if level and i == self.num_res_blocks:
                    last = 2 if rate in self.attention_resolutions else 1
                    h = resample(h, nearest, Upsample, f"{name}_{last}")
                    rate //= 2

        h = nn.silu(GroupNorm(self.num_groups, name="out_norm")(h.astype(x.dtype)))
        return conv3x3(self.out_channels or x.shape[-1], zero=True, name="out_conv")(h)

    def _channels(self, level):
        return int(self.channel_mult[level] * self.model_channels)

    def _heads(self, channels, num_heads):
        if self.num_head_channels is None:
            return num_heads
        if channels % self.num_head_channels:
            raise ValueError(
                f"num_head_channels: must divide the {channels} channels of a block with attention; "
                f"got {self.num_head_channels}"
            )
        return channels // self.num_head_channels
