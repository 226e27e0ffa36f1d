"""A small convolutional network with one number for each image."""

from functools import partial
from typing import Any

import flax.linen as nn

from diffjax.border import checked
from diffjax.models.blocks import TimeEmbedding, conv3x3, mean_pool, single
from diffjax.models.conditions import Condition, beside, checked_condition, counts
from diffjax.types import Array, ArrayLike, Float


class ConvEnergy(nn.Module):
    """Give an energy to small images; smooth, as its gradient is what samplers see.

    Convolutions with SiLU and no normalisation; between them means of 2x2 pixels, until at most 4 x 4 are
    left. (For points `MLP(out_features=1)` is an energy.)

    Attributes:
      features: channels of the first convolution; twice as many after each pooling.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      times: number of times K; a further one changes nothing until it is trained.
      map_channels: channels of the condition's map, which the first convolution sees last; 0 for none.
      dtype: compute dtype of the convolutions; None follows `x`. Parameters are float32.
    """

    features: int = 32
    time_scale: float = 1.0
    times: int = 1
    map_channels: int = 0
    dtype: Any = None

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return 4 * self.features

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, " batch"]:
        """Apply the network.

        Args:
          x: images [B, H, W, C].
          t: times [B], or [B, times].
          cond: vector [B, vector_features], map [B, H, W, map_channels], no tokens; None for nothing.
          train: accepted by every network; this one behaves the same.

        Returns:
          Energies [B], float32 at least.

        Raises:
          ValueError: for another shape, or a condition that does not suit the network.
        """
        del train
        counts(self, "features", "times")
        x = single(x)
        cond = checked_condition(
            cond, x, vector_features=self.vector_features, map_channels=self.map_channels
        )
        width, conv = self.features, partial(conv3x3, dtype=self.dtype)
        embed = TimeEmbedding(self.vector_features, width, self.time_scale, self.times, name="embed")
        emb = nn.silu(embed(t, x, cond.vector))
        h = conv(width, name="conv_in")(beside(x, cond.map))
        level = 0
        while True:
            shift = nn.Dense(h.shape[-1], name=f"emb_{level}")(emb).astype(h.dtype)[:, None, None]
            h = nn.silu(conv(2**level * width, name=f"conv_{level}")(nn.silu(h + shift)))
            if max(h.shape[1:3]) <= 4:
                break
            h = mean_pool(conv(2 ** (level + 1) * width, name=f"widen_{level}")(h))
            level += 1
        h = nn.silu(nn.Dense(4 * width, dtype=self.dtype, name="hidden")(h.reshape(len(h), -1)))
        return nn.Dense(1, name="out")(h.astype(x.dtype))[:, 0]
