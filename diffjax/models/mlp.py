"""A multilayer perceptron for points and very small images."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.models.blocks import Conditioning
from diffjax.models.embeddings import octaves


class MLP(nn.Module):
    """Predict from points: `depth` hidden layers, each of which also sees the time and the label.

    Images are flattened first, and the output has their shape again.

    Attributes:
      width: units of each hidden layer.
      depth: hidden layers, at least 1.
      out_features: size of the output's last axis; None for that of `x`, twice it for a learned variance.
      num_classes: rows of the label table (one more than there are classes for classifier-free guidance);
        None for none.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      frequencies: of the sines and cosines of `x` that the first layer sees beside `x`, see
        `embeddings.octaves`; 0 for none.
      dtype: compute dtype; None follows `x`. Parameters are float32.
    """

    width: int = 128
    depth: int = 3
    out_features: int | None = None
    num_classes: int | None = None
    time_scale: float = 1.0
    frequencies: int | tuple[int, ...] = 0
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, cond: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Apply the network.

        Args:
          x: points [B, D], or images [B, H, W, C].
          t: times [B].
          cond: integer labels [B] in 0..num_classes-1, or None for an unconditional network.
          train: accepted by every network; this one behaves the same.

        Returns:
          [B, ..., out_features], float32 at least.

        Raises:
          ValueError: for another shape, or labels that do not suit the network.
        """
        del train
        if x.ndim < 2:
            raise ValueError(f"x: must be points [B, D] or images [B, H, W, C]; got shape {x.shape}")
        if self.depth < 1:
            raise ValueError(f"depth: must be at least 1; got {self.depth}")
        *shape, features = x.shape
        x = x.reshape(len(x), -1).astype(jnp.promote_types(x.dtype, jnp.float32))
        embed = Conditioning(self.width, self.width, self.num_classes, self.time_scale, name="embed")
        emb = nn.silu(embed(t, cond, len(x)))
        h = octaves(x, self.frequencies)
        for i in range(self.depth):
            h = nn.Dense(self.width, dtype=self.dtype, name=f"hidden_{i}")(h)
            h = nn.silu(h + nn.Dense(self.width, dtype=self.dtype, use_bias=False, name=f"emb_{i}")(emb))
        shape = (*shape, self.out_features or features)
        return nn.Dense(math.prod(shape[1:]), name="out")(h.astype(x.dtype)).reshape(shape)
