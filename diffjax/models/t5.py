"""The encoder of T5: normalisation without a mean, and places told by their distance alone."""

import math

import flax.linen as nn
import numpy as np

from diffjax.border import checked
from diffjax.models.embeddings import looked_up
from diffjax.models.transformer import ACTIVATIONS, Mask, SelfAttention, shown
from diffjax.types import Array, Bool, Float, Integer


class T5Encoder(nn.Module):
    """Read token ids; Imagen's text model is one.

    Attributes:
      vocab_size: ids are in 0..vocab_size-1; any other gives NaN.
      width: of a token.
      depth: blocks.
      num_heads, head_features: of the attention, whose products are not scaled.
      hidden: units between the dense layers.
      gated: a second layer's output is multiplied by the activation (version 1.1).
      activation: name in `transformer.ACTIVATIONS`.
      buckets, farthest: distances are told apart in so many classes, those beyond `farthest` not.
      epsilon: of the normalisations.

    Reference: Raffel et al. 2020, section 2.1; Shazeer 2020 (gated layers).
    """

    vocab_size: int
    width: int
    depth: int
    num_heads: int
    head_features: int
    hidden: int
    gated: bool = True
    activation: str = "gelu_new"
    buckets: int = 32
    farthest: int = 128
    epsilon: float = 1e-6

    @nn.compact
    @checked
    def __call__(
        self, ids: Integer[Array, "batch tokens"], mask: Mask | None = None
    ) -> Float[Array, "batch tokens width"]:
        """Return the tokens after the last normalisation.

        Args:
          ids: int [B, M].
          mask: [B, M], true or 1 where tokens are there, which alone are attended to. None for all.

        Returns:
          float32 [B, M, width].
        """
        count, small = ids.shape[1], nn.initializers.normal(1.0)
        table = self.param("tokens", small, (self.vocab_size, self.width))
        h = looked_up(table, ids)
        places = nn.Embed(self.buckets, self.num_heads, embedding_init=small, name="places")
        bias = places(distance_classes(count, self.buckets, self.farthest)).transpose(2, 0, 1)[None]
        seen = shown(mask)
        for i in range(self.depth):
            h = T5Block(
                self.num_heads, self.head_features, self.hidden, self.gated, self.activation, self.epsilon,
                name=f"block_{i}",
            )(h, seen, bias)  # fmt: skip
        return nn.RMSNorm(epsilon=self.epsilon, name="norm")(h)


class T5Block(nn.Module):
    """Attention and dense layers of T5, each added to what comes in; fields as of `T5Encoder`."""

    num_heads: int
    head_features: int
    hidden: int
    gated: bool
    activation: str
    epsilon: float

    @nn.compact
    def __call__(
        self,
        h: Float[Array, "batch length width"],
        mask: Bool[Array, "..."] | None,
        bias: Float[Array, "..."],
    ) -> Float[Array, "batch length width"]:
        """Map tokens h [B, M, W] to the same shape; `bias` [1, heads, M, M] is of the distances."""
        dense = lambda features, name: nn.Dense(features, use_bias=False, name=name)
        norms = [nn.RMSNorm(epsilon=self.epsilon, name=f"norm_{i}") for i in range(2)]
        attend = SelfAttention(
            self.num_heads, self.head_features, use_bias=False, scaled=False, name="attention"
        )
        h = h + attend(norms[0](h), mask, bias)
        own, act = norms[1](h), ACTIVATIONS[self.activation]
        if self.gated:
            inner = act(dense(self.hidden, "gate")(own)) * dense(self.hidden, "dense_0")(own)
        else:
            inner = act(dense(self.hidden, "dense_0")(own))
        return h + dense(h.shape[-1], "dense_1")(inner)


def distance_classes(count: int, buckets: int, farthest: int) -> Integer[np.ndarray, "to from"]:
    """Return the class of the distance of every pair of places, int [count, count].

    Half of the classes are of places before, half of those after; of each half, half are of single
    distances, and half grow as their logarithm up to `farthest`.
    """
    half = buckets // 2
    single = half // 2
    distance = np.arange(count)[None, :] - np.arange(count)[:, None]
    far = np.maximum(np.abs(distance), 1)
    # in single precision, as the original rounds
    share = np.log((far / single).astype(np.float32)) / np.float32(math.log(farthest / single))
    grown = np.minimum(single + (share * np.float32(half - single)).astype(np.int64), half - 1)
    return np.where(np.abs(distance) < single, np.abs(distance), grown) + half * (distance > 0)
