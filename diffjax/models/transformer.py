"""Transformers over tokens: one block, and the text models whose published weights fit it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.embeddings import looked_up
from diffjax.types import Array, Bool, Float, Integer

Mask = Bool[Array, "batch tokens"] | Integer[Array, "batch tokens"]
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(nn.gelu, approximate=False),
    "gelu_new": partial(nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),  # CLIP's
    "relu": nn.relu,
    "silu": nn.silu,
}


def shown(mask: Mask | None) -> Bool[Array, "batch 1 1 tokens"] | None:
    """Return a mask [B, M] as attention takes it, [B, heads, to, from]; None of None."""
    return None if mask is None else (jnp.asarray(mask) != 0)[:, None, None, :]


class SelfAttention(nn.Module):
    """Let tokens attend to those that a mask shows.

    Attributes:
      num_heads: must divide the width.
      head_features: size of a head; None for width / num_heads.
      use_bias: whether the projections have biases.
      scaled: whether products are divided by sqrt(head_features), which T5 does not.
      dtype: of the products; None follows the input.

    Reference: Vaswani et al. 2017, section 3.2.
    """

    num_heads: int
    head_features: int | None = None
    use_bias: bool = True
    scaled: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        h: Float[Array, "batch length width"],
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
    ) -> Float[Array, "batch length width"]:
        """Attend; `mask` and `bias` broadcast to [B, heads, to, from]."""
        width = h.shape[-1]
        if self.head_features is None and width % self.num_heads:
            raise ValueError(f"num_heads: must divide the width {width}; got {self.num_heads}")
        size = self.head_features or width // self.num_heads
        dense = partial(nn.Dense, use_bias=self.use_bias, dtype=self.dtype)
        q, k, v = (
            dense(self.num_heads * size, name=name)(h).reshape(*h.shape[:-1], self.num_heads, size)
            for name in ("query", "key", "value")
        )
        scale = None if self.scaled else 1.0
        # XLA's by name: a fused kernel with a reverse rule of its own would refuse forward mode.
        h = jax.nn.dot_product_attention(q, k, v, bias, mask, scale=scale, implementation="xla")
        return dense(width, name="out")(h.reshape(*h.shape[:2], -1))


class Block(nn.Module):
    """Attention and two dense layers, each added to what comes in.

    Attributes:
      num_heads: of the attention.
      hidden: units between the dense layers.
      activation: name in `ACTIVATIONS`.
      norm_first: normalise what goes into each of the two (GPT, CLIP); otherwise the sums (BERT).
      epsilon: of the normalisations.
      dtype: of the products; None follows the input.
    """

    num_heads: int
    hidden: int
    activation: str = "gelu"
    norm_first: bool = True
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(
        self, h: Float[Array, "batch length width"], mask: Bool[Array, "..."] | None = None
    ) -> Float[Array, "batch length width"]:
        """Map tokens h [B, M, W] to the same shape; `mask` broadcasts to [B, heads, to, from]."""

        def dense(h):
            h = nn.Dense(self.hidden, dtype=self.dtype, name="dense_0")(h)
            return nn.Dense(width, dtype=self.dtype, name="dense_1")(ACTIVATIONS[self.activation](h))

        width, first = h.shape[-1], self.norm_first
        attend = SelfAttention(self.num_heads, dtype=self.dtype, name="attention")
        norms = [nn.LayerNorm(epsilon=self.epsilon, name=f"norm_{i}") for i in range(2)]
        h = h + attend(norms[0](h), mask) if first else norms[0](h + attend(h, mask))
        return h + dense(norms[1](h)) if first else norms[1](h + dense(h))


class TextTransformer(nn.Module):
    """Read token ids: embeddings of ids and of places, blocks, and a last normalisation.

    With `norm_first` and `causal` it is CLIP's text model, with neither BERT.

    Attributes:
      vocab_size: ids are in 0..vocab_size-1; any other gives NaN.
      length: the most tokens of a text.
      width: of a token.
      depth: blocks.
      num_heads, hidden, activation, norm_first, epsilon: see `Block`; hidden None for 4 times the width.
      causal: a token sees only those before it.
      types: rows of BERT's table of token types, of which all tokens have the first; 0 for no table.
      end: the id at a text's end, whose first place `pooled` takes.
    """

    vocab_size: int
    length: int
    width: int
    depth: int
    num_heads: int = 1
    hidden: int | None = None
    activation: str = "gelu"
    norm_first: bool = True
    epsilon: float = 1e-5
    causal: bool = False
    types: int = 0
    end: int | None = None

    @checked
    def __call__(
        self, ids: Integer[Array, "batch tokens"], mask: Mask | None = None
    ) -> Float[Array, "batch tokens width"]:
        """Return the tokens after the last normalisation.

        Args:
          ids: int [B, M], M at most `length`.
          mask: [B, M], true or 1 where tokens are there, which alone are attended to. None for all.

        Returns:
          float32 [B, M, width].

        Raises:
          ValueError: for more tokens than `length`, or heads that do not divide the width.
        """
        return self.layers(ids, mask)[-1]

    @checked
    def pooled(
        self, ids: Integer[Array, "batch tokens"], mask: Mask | None = None
    ) -> Float[Array, "batch width"]:
        """Return the token at the first `end` of each text: what CLIP takes for all of it."""
        # 2: old configs say so of models whose end is the largest id
        ends = ids == self.end if self.end != 2 else ids == ids.max(axis=1, keepdims=True)
        return jnp.take_along_axis(self(ids, mask), ends.argmax(axis=1)[:, None, None], axis=1)[:, 0]

    @nn.compact
    def layers(self, ids: Any, mask: Any = None) -> list[Float[Array, "batch tokens width"]]:
        """Return what goes into each block, what comes out of the last, and that normalised."""
        count = ids.shape[1]
        if count > self.length:
            raise ValueError(f"ids: must be at most {self.length} tokens (length); got {count}")
        start = nn.initializers.normal(0.02)
        table = self.param("tokens", start, (self.vocab_size, self.width))
        h = looked_up(table, ids)
        h = h + self.param("places", start, (self.length, self.width))[:count]
        if self.types:
            h = h + self.param("types", start, (self.types, self.width))[0]
        norm = nn.LayerNorm(epsilon=self.epsilon, name="norm")
        h = h if self.norm_first else norm(h)
        seen = shown(mask)
        if self.causal:
            before = jnp.tril(jnp.ones((count, count), bool))[None, None]
            seen = before if seen is None else seen & before
        found = [h]
        for i in range(self.depth):
            block = Block(
                self.num_heads, self.hidden or 4 * self.width, self.activation, self.norm_first,
                self.epsilon, name=f"block_{i}",
            )  # fmt: skip
            found.append(block(found[-1], seen))
        return [*found, norm(found[-1]) if self.norm_first else found[-1]]
