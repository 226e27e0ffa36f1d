"""A multilayer perceptron for points and very small images."""

import math
from typing import Any

import flax.linen as nn

from diffjax.border import checked
from diffjax.models.blocks import TimeEmbedding, single
from diffjax.models.conditions import Condition, beside, checked_condition, counts
from diffjax.models.embeddings import octaves
from diffjax.types import Array, ArrayLike, Float


class MLP(nn.Module):
    """Predict from points: `depth` hidden layers, each of which also sees the time and the condition.

    Images are flattened first, and the output has their shape again.

    Attributes:
      width: units of each hidden layer.
      depth: hidden layers, at least 1.
      out_features: size of the output's last axis; None for that of `x`, twice it for a learned variance.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      times: number of times K; a further one changes nothing until it is trained.
      frequencies: of the sines and cosines of `x` that the first layer sees beside `x`, see
        `embeddings.octaves`; 0 for none.
      map_channels: channels of the condition's map, which the first layer sees last; 0 for none.
      dtype: compute dtype; None follows `x`. Parameters are float32.
      whole: give out_features numbers for the whole example, [B, out_features], as a classifier of images
        does, in the place of some at every pixel.
    """

    width: int = 128
    depth: int = 3
    out_features: int | None = None
    time_scale: float = 1.0
    times: int = 1
    frequencies: int | tuple[int, ...] = 0
    map_channels: int = 0
    dtype: Any = None
    whole: bool = False

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.width

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch *space features"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch *places out"]:
        """Apply the network.

        Args:
          x: points [B, D], or images [B, H, W, C].
          t: times [B], or [B, times].
          cond: vector [B, vector_features]; map [B, map_channels] beside points, [B, H, W, map_channels]
            beside images; no tokens. None for nothing.
          train: accepted by every network; this one behaves the same.

        Returns:
          [B, ..., out_features], or [B, out_features] of the whole; float32 at least.

        Raises:
          ValueError: for another shape, or a condition that does not suit the network.
        """
        del train
        counts(self, "width", "depth", "times")
        *shape, features = x.shape
        x = single(x)
        cond = checked_condition(
            cond, x, vector_features=self.vector_features, map_channels=self.map_channels
        )
        embed = TimeEmbedding(self.width, self.width, self.time_scale, self.times, name="embed")
        emb = nn.silu(embed(t, x, cond.vector))
        flat_map = None if cond.map is None else cond.map.reshape(len(x), -1)
        h = beside(octaves(x.reshape(len(x), -1), self.frequencies), flat_map)
        for i in range(self.depth):
            h = nn.Dense(self.width, dtype=self.dtype, name=f"hidden_{i}")(h)
            h = nn.silu(h + nn.Dense(self.width, dtype=self.dtype, use_bias=False, name=f"emb_{i}")(emb))
        shape = (*(shape[:1] if self.whole else shape), self.out_features or features)
        return nn.Dense(math.prod(shape[1:]), name="out")(h.astype(x.dtype)).reshape(shape)
