"""Transformers that write the embedding of a picture after that of its text: unCLIP's priors."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.blocks import TimeEmbedding, single
from diffjax.models.conditions import Condition, checked_condition, counts, visible
from diffjax.models.embeddings import looked_up
from diffjax.models.transformer import Block
from diffjax.types import Array, ArrayLike, Bool, Float, Integer

_START = nn.initializers.normal(0.02)


class Writer(nn.Module):
    """Read a text's tokens and its embedding, and then other tokens: each sees those before it.

    Attributes:
      width, depth, num_heads: of the transformer, see `transformer.Block`.
      length: the most tokens in all.
      dtype: of the products of the blocks; None follows their input.
    """

    width: int
    depth: int
    num_heads: int
    length: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self, cond: Condition, written: Float[Array, "batch tokens width"]
    ) -> Float[Array, "batch tokens width"]:
        """Return what comes out where `written` [B, K, W] went in, normalised."""
        told = jnp.zeros((len(written), self.width)) if cond.vector is None else cond.vector
        h = jnp.concatenate([nn.Dense(self.width, name="vector")(told)[:, None], written], axis=1)
        seen, before = jnp.ones(h.shape[:2], bool), 1
        if cond.tokens is not None:
            mask = visible(cond)
            h = jnp.concatenate([nn.Dense(self.width, name="tokens")(cond.tokens), h], axis=1)
            seen, before = jnp.concatenate([mask, seen], axis=1), before + mask.shape[1]
        count = h.shape[1]
        if count > self.length:
            raise ValueError(f"length: must be at least {count}, of text and others; got {self.length}")
        # places are counted from the end, so that what is written has its own whatever the text's length
        h = h + self.param("places", _START, (self.length, self.width))[self.length - count :]
        own = jnp.eye(count, dtype=bool)  # a softmax over nothing is no number
        allowed = (seen[:, None, :] & jnp.tril(jnp.ones((count, count), bool))) | own
        for i in range(self.depth):
            block = Block(self.num_heads, 4 * self.width, dtype=self.dtype, name=f"block_{i}")
            h = block(h, allowed[:, None])
        return nn.LayerNorm(name="norm")(h[:, before:])


class Prior(nn.Module):
    """Predict an embedding from a noised one: the diffusion prior.

    A causal transformer over the text's tokens, its embedding (the condition's vector), the time, the noised
    embedding, and a learned query, where the prediction comes out.

    Attributes:
      width, depth, num_heads: see `Writer`.
      token_features: width of the condition's tokens; None for a network that is told no tokens.
      length: the most tokens of a text.
      time_scale: see `blocks.TimeEmbedding`.
      dtype: of the products of the blocks; None follows their input.

    Reference: Ramesh et al. 2022 (unCLIP), section 2.2.
    """

    width: int = 256
    depth: int = 4
    num_heads: int = 4
    token_features: int | None = None
    length: int = 16
    time_scale: float = 1.0
    dtype: Any = None

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.width

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch features *shape"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch features *shape"]:
        """Apply the network.

        Args:
          x: noised embeddings [B, ...], taken as [B, D].
          t: times [B].
          cond: vector [B, vector_features], tokens [B, M, token_features] and their mask; None for nothing.
          train: changes nothing: there is no dropout.

        Returns:
          As x, float32 at least. Zero at initialisation.

        Raises:
          ValueError: for shapes or heads that do not fit.
        """
        del train
        counts(self, "width", "depth", "num_heads", "length")
        x = single(x)
        cond = checked_condition(
            cond, x, vector_features=self.vector_features, token_features=self.token_features
        )
        embed = TimeEmbedding(self.width, self.width, self.time_scale, name="embed")
        flat = x.reshape(len(x), -1)
        query = jnp.broadcast_to(self.param("query", _START, (self.width,)), (len(x), self.width))
        told = jnp.stack([embed(t, x), nn.Dense(self.width, name="noised")(flat), query], axis=1)
        write = Writer(self.width, self.depth, self.num_heads, self.length + 4, self.dtype, name="write")
        h = write(cond._replace(map=None), told)[:, -1]
        out = nn.Dense(flat.shape[1], kernel_init=nn.initializers.zeros, name="out")(h)
        return out.reshape(x.shape)


class CodePrior(nn.Module):
    """Predict each code of an embedding from those before it: the autoregressive prior.

    Attributes:
      codes: number K of an embedding's codes.
      bins: of each.
      width, depth, num_heads, token_features, length: see `Prior`.

    Reference: Ramesh et al. 2022 (unCLIP), section 2.2.
    """

    codes: int
    bins: int
    width: int = 256
    depth: int = 4
    num_heads: int = 4
    token_features: int | None = None
    length: int = 16

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.width

    @nn.compact
    @checked
    def __call__(
        self, codes: Integer[Array, "batch codes"], cond: Condition | None = None
    ) -> Float[Array, "batch codes bins"]:
        """Return logits [B, K, bins] of codes [B, K] in 0..bins-1; those of code k know the codes before."""
        counts(self, "codes", "bins", "width", "depth", "num_heads", "length")
        table = self.param("codes", _START, (self.codes * self.bins, self.width))
        h = looked_up(table, codes + self.bins * jnp.arange(self.codes))
        begin = jnp.broadcast_to(self.param("begin", _START, (self.width,)), (len(h), 1, self.width))
        h = jnp.concatenate([begin, h[:, :-1]], axis=1)
        cond = checked_condition(
            cond, h, vector_features=self.vector_features, token_features=self.token_features
        )
        write = Writer(self.width, self.depth, self.num_heads, self.length + 1 + self.codes, name="write")
        return nn.Dense(self.bins, kernel_init=nn.initializers.zeros, name="out")(write(cond, h))


class SeenTokens(nn.Module):
    """Say the embedding of a picture: as a vector, which joins the time's, and as some tokens.

    It is normalised first. An embedding of zeros is none.

    Attributes:
      vector_features: of the network's vector.
      token_features: of the network's tokens; None gives none.
      extra: number of tokens.

    Reference: Ramesh et al. 2022 (unCLIP), section 2.1, where there are four.
    """

    vector_features: int
    token_features: int | None = None
    extra: int = 4

    @nn.compact
    @checked
    def __call__(
        self, embedding: Float[Array, "batch width"], keep: Bool[Array, " batch"] | None = None
    ) -> Condition:
        """Encode embeddings [B, D]; where `keep` [B] is False, a learned null."""
        counts(self, "vector_features", "extra")
        said = (embedding != 0).any(axis=-1)
        said = said if keep is None else said & keep
        h = nn.LayerNorm(name="norm")(jnp.asarray(embedding, jnp.float32))
        null = self.param("null_vector", nn.initializers.normal(1.0), (self.vector_features,))
        vector = jnp.where(said[:, None], nn.Dense(self.vector_features, name="vector")(h), null)
        if self.token_features is None:
            return Condition(vector=vector)
        shape = (self.extra, self.token_features)
        null = self.param("null_tokens", nn.initializers.normal(1.0), shape)
        tokens = nn.Dense(shape[0] * shape[1], name="tokens")(h).reshape(-1, *shape)
        return Condition(vector=vector, tokens=jnp.where(said[:, None, None], tokens, null))
