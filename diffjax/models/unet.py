"""The U-Net of Dhariwal & Nichol 2021 (ADM); its options include the earlier one of Nichol & Dhariwal
2021, Ho et al. 2020's and the one with cross-attention of Rombach et al. 2022."""

import flax.linen as nn

from diffjax.border import checked
from diffjax.models.blocks import GroupNorm, conv3x3, single
from diffjax.models.conditions import Condition, beside
from diffjax.models.levels import Levels
from diffjax.types import Array, ArrayLike, Float


class UNet(Levels):
    """Predict from images: residual blocks down, in the middle and up again, joined by skips.

    Attributes:
      out_channels: channels of the output; None for those of `x`, `2 * C` for a learned variance.

    The others are those of `Levels`.

    Reference: Dhariwal & Nichol 2021, section 3 and appendix I; Rombach et al. 2022, section 3.3.
    """

    out_channels: int | None = None

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
          cond: vector [B, vector_features], map [B, H, W, map_channels], tokens [B, M, token_features] and
            their mask [B, M]; None for nothing.
          train: switches dropout on; it needs the "dropout" rng.

        Returns:
          [B, H, W, out_channels], float32 at least. Zero at initialisation.

        Raises:
          ValueError: for shapes, conditions, groups or heads that do not fit.
        """
        x = single(x)
        skips, told = self.down(x, t, cond, train)
        h, blocks = self.middle(skips[-1], told), len(skips)
        for level in reversed(range(len(self.channel_mult))):
            further = self.blocks(level)
            for i in range(further + 1):
                name = f"output_blocks_{blocks - len(skips)}"
                h = self.stage(beside(h, skips.pop()), told, level, "up", name)
                if level and i == further:
                    last = 1 if self.attention(level, "up") is None else 2
                    h = self.resample(h, told, level, "up", f"{name}_{last}")
        h = nn.silu(GroupNorm(self.num_groups, self.epsilon, name="out_norm")(h.astype(x.dtype)))
        return conv3x3(self.out_channels or x.shape[-1], zero=True, name="out_conv")(h)
