"""Where the pixels of an image attend to a condition's tokens (NHWC)."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.models.attention import Attention, Implementation
from diffjax.models.blocks import GroupNorm
from diffjax.models.recompute import Remat, recomputed
from diffjax.types import Array, Bool, Float


class SpatialTransformer(nn.Module):
    """Let pixels attend to each other and to tokens, block after block, and add the result to the input.

    Attributes:
      num_heads: heads; must divide the channels.
      depth: number of blocks.
      num_groups: groups of the normalisation.
      remat: what of blocks is computed again in the backward pass, see `recompute.recomputed`.
      dtype: dtype of the products; None follows the input. The softmax is taken in float32 at least.
      implementation: of both attentions, see `attention.attend`.

    Reference: Rombach et al. 2022, section 3.3 and appendix E.2.1; the last projection starts at zero.
    """

    num_heads: int
    depth: int = 1
    num_groups: int = 32
    remat: Remat = False
    dtype: Any = None
    implementation: Implementation = "xla"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        tokens: Float[Array, "batch length token_features"],
        mask: Bool[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch height width channels"]:
        """Map x [B, H, W, C], tokens [B, M, D] and their mask [B, M] to x's shape."""
        channels = x.shape[-1]
        h = GroupNorm(self.num_groups, 1e-6, name="norm")(x)
        h = h.reshape(len(x), math.prod(x.shape[1:-1]), channels)
        h = nn.Dense(channels, dtype=self.dtype, name="project_in")(h)
        block = recomputed(TransformerBlock, self.remat)
        for i in range(self.depth):
            name = f"transformer_blocks_{i}"
            h = block(self.num_heads, self.dtype, self.implementation, name=name)(h, tokens, mask)
        zeros = nn.initializers.zeros
        h = nn.Dense(channels, kernel_init=zeros, dtype=self.dtype, name="project_out")(h)
        return x + h.reshape(x.shape)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward layer, each normalised before and added after.

    Attributes:
      num_heads: heads of both attentions.
      dtype: dtype of the products; None follows the input.
      implementation: of both, see `attention.attend`.
    """

    num_heads: int
    dtype: Any = None
    implementation: Implementation = "xla"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch pixels channels"],
        tokens: Float[Array, "batch length token_features"],
        mask: Bool[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch pixels channels"]:
        """Map x [B, N, C], tokens [B, M, D] and their mask [B, M] to [B, N, C]."""
        norm = lambda name, h: nn.LayerNorm(1e-5, use_fast_variance=False, name=name)(h).astype(x.dtype)
        attention = partial(
            Attention, self.num_heads, bias=False, implementation=self.implementation, dtype=self.dtype
        )
        x = x + attention(name="attn1")(norm("norm1", x))
        x = x + attention(name="attn2")(norm("norm2", x), tokens, mask)
        h = nn.Dense(8 * x.shape[-1], dtype=self.dtype, name="ff_in")(norm("norm3", x))
        h, gate = jnp.split(h, 2, axis=-1)  # GEGLU: Shazeer 2020, equation (6)
        h = h * nn.gelu(gate, approximate=False)
        return x + nn.Dense(x.shape[-1], dtype=self.dtype, name="ff_out")(h)
