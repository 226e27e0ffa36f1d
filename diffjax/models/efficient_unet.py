"""The Efficient U-Net of Imagen's super-resolution: most of its blocks are where pictures are small."""

import math

import flax.linen as nn

from diffjax.border import checked
from diffjax.models.blocks import GroupNorm, conv3x3, single
from diffjax.models.conditions import Condition, beside
from diffjax.models.levels import Levels
from diffjax.types import Array, ArrayLike, Float

_SCALE = math.sqrt(0.5)  # of what a skip brings


class EfficientUNet(Levels):
    """Predict from images: as a `UNet`, but made to be quick where pictures are large.

    - A level halves the picture before its blocks, and doubles it after them on the way up: the convolutions
      work on what is small.
    - There are as many blocks up as down, `num_res_blocks` a level, of which small pictures get more.
    - What skips bring is scaled by 1 / sqrt(2).

    Attributes:
      out_channels: channels of the output; None for those of `x`, `2 * C` for a learned variance.
      halve_first: the first level halves too, so that no block works at the picture's own size; and
        `attention_resolutions` are still 1 for the first level, 2 for the next.

    The others are those of `Levels`. The middle is two blocks and the attention between them, as the U-Net's.

    Reference: Saharia et al. 2022 (Imagen), section 2.4 and appendix B.1; Song et al. 2021 (the scale).
    """

    out_channels: int | None = None
    halve_first: bool = False

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
          x: images [B, H, W, C]; H and W divisible by `2^(levels - 1)`, with `halve_first` by twice that.
          t: times [B], or [B, times].
          cond: vector [B, vector_features], map [B, H, W, map_channels], tokens [B, M, token_features] and
            their mask [B, M]; None for nothing.
          train: switches dropout on; it needs the "dropout" rng.

        Returns:
          [B, H, W, out_channels], float32 at least. Zero at initialisation.

        Raises:
          ValueError: for shapes, conditions, groups or heads that do not fit.
        """
        x = single(x)
        h, told = self.begin(x, t, cond, train, halvings=self._halvings())
        first, levels, skips = h, range(len(self.channel_mult)), []
        for level in levels:
            if self._halves(level):
                h = self.resample(h, told, level, "down", f"down_{level}")
            for i in range(self.blocks(level)):
                h = self.stage(h, told, level, "down", f"down_{level}_{i}")
                skips.append(h)
        h = self.middle(h, told)
        for level in reversed(levels):
            for i in range(self.blocks(level)):
                h = self.stage(beside(h, _SCALE * skips.pop()), told, level, "up", f"up_{level}_{i}")
            if self._halves(level):
                h = self.resample(h, told, level, "up", f"up_{level}")
        h = beside(h, _SCALE * first).astype(x.dtype)
        h = nn.silu(GroupNorm(self.num_groups, self.epsilon, name="out_norm")(h))
        return conv3x3(self.out_channels or x.shape[-1], zero=True, name="out_conv")(h)

    @nn.nowrap
    def _halves(self, level: int) -> bool:
        return level > 0 or self.halve_first

    @nn.nowrap
    def _halvings(self) -> int:
        return len(self.channel_mult) - 1 + self.halve_first
