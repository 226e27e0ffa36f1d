"""Encoders of what a request may hold beside a class: texts, embeddings, maps and pictures.

Each is called `(value, keep) -> Condition`. Where `keep` is False, or the value itself says nothing, its null
stands in the value's place: a learned vector, one learned token that is the only visible one, a learned
pixel. What says nothing is: a text of padding alone, an embedding of zeros, a map of the class
`num_classes`, a picture or a map of floats with NaN in it.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.models.conditions import Condition, counts
from diffjax.models.embeddings import looked_up, timestep_embedding
from diffjax.models.transformer import TextTransformer
from diffjax.types import Array, Bool, Float, Integer, Num

_LIKE_A_LABEL = nn.initializers.normal(1.0)


class Spoken(nn.Module):
    """Say tokens to a network: projected to its width, as the vector of their mean, or both.

    Attributes:
      token_features: of the network's cross-attention; None gives no tokens.
      vector_features: of the network's vector; None gives no vector.
    """

    token_features: int | None = None
    vector_features: int | None = None

    @nn.compact
    def __call__(
        self,
        h: Float[Array, "batch length width"],
        mask: Bool[Array, "batch length"],
        keep: Bool[Array, " batch"] | None = None,
    ) -> Condition:
        """Make the Condition of tokens h [B, M, W] of which `mask` [B, M] are there.

        A row without any, or that is not kept, is the null. Tokens that are not there are zeros.
        """
        if self.token_features is None and self.vector_features is None:
            raise ValueError("token_features: must be given, or else vector_features; got None for both")
        said = mask.any(axis=1) if keep is None else mask.any(axis=1) & keep
        h = jnp.where(mask[..., None], h, 0)
        tokens = vector = None
        if self.token_features is not None:
            null = self.param("null_token", _LIKE_A_LABEL, (self.token_features,))
            tokens = jnp.where(mask[..., None], nn.Dense(self.token_features, name="token")(h), 0)
            first = jnp.arange(h.shape[1]) == 0
            tokens = jnp.where(said[:, None, None], tokens, first[:, None] * null)
            mask = jnp.where(said[:, None], mask, first)
        if self.vector_features is not None:
            mean = h.sum(axis=1) / jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
            null = self.param("null_vector", _LIKE_A_LABEL, (self.vector_features,))
            vector = jnp.where(said[:, None], nn.Dense(self.vector_features, name="vector")(mean), null)
        return Condition(vector, tokens, None if tokens is None else mask)


class TokenEncoder(nn.Module):
    """Read the ids of a text by a transformer that is trained with the network.

    Attributes:
      vocab_size, length, width, depth, num_heads: see `TextTransformer`; ids are in 0..vocab_size-1.
      token_features, vector_features: see `Spoken`.
      pad: the id that fills a text up.
    """

    vocab_size: int
    length: int
    width: int = 128
    depth: int = 2
    num_heads: int = 4
    token_features: int | None = None
    vector_features: int | None = None
    pad: int = 0

    @nn.compact
    @checked
    def __call__(
        self, ids: Integer[Array, "batch tokens"], keep: Bool[Array, " batch"] | None = None
    ) -> Condition:
        """Encode ids [B, M] with M = `length`; the null where `keep` [B] is False or all is padding.

        Raises:
          ValueError: for another length.
        """
        counts(self, "vocab_size", "length", "width", "depth", "num_heads")
        if ids.shape[1] != self.length:
            raise ValueError(f"ids: must be {self.length} tokens long (length); got {ids.shape[1]}")
        mask = ids != self.pad
        # the first is always seen: a softmax over nothing is no number
        seen = mask | (jnp.arange(self.length) == 0)
        read = TextTransformer(
            self.vocab_size, self.length, self.width, self.depth, self.num_heads, name="text"
        )
        return Spoken(self.token_features, self.vector_features, name="said")(read(ids, seen), mask, keep)


class Embedded(nn.Module):
    """Project the embedding that another model made: of a picture or a text [B, D], or of its tokens.

    Embeddings are normalised first (Saharia et al. 2022, section 2.4), so that those of length 1 count as
    much as those of large entries. An embedding of zeros is none: zeros fill a text up.

    Attributes:
      token_features, vector_features: see `Spoken`.
    """

    token_features: int | None = None
    vector_features: int | None = None

    @nn.compact
    @checked
    def __call__(
        self, embedding: Float[Array, "batch *length width"], keep: Bool[Array, " batch"] | None = None
    ) -> Condition:
        """Encode embeddings [B, D], or [B, M, D] of tokens."""
        if embedding.ndim not in (2, 3):
            raise ValueError(f"embedding: must be [B, D] or [B, M, D]; got shape {embedding.shape}")
        tokens = embedding[:, None] if embedding.ndim == 2 else embedding
        tokens = jnp.asarray(tokens, jnp.float32)
        mask = (tokens != 0).any(axis=-1)
        h = nn.LayerNorm(name="norm")(tokens)
        return Spoken(self.token_features, self.vector_features, name="said")(h, mask, keep)


class SemanticMap(nn.Module):
    """Lay a map of classes beside the pixels: a channel a class, or learned channels.

    Attributes:
      num_classes: pixels are in 0..num_classes-1, or num_classes for a pixel of no class; any other gives
        NaN.
      features: learned channels a class, whose null is the last row of the table; None for one channel a
        class, whose null is zeros.
    """

    num_classes: int
    features: int | None = None

    @property
    def channels(self) -> int:
        """Channels of the map that it gives."""
        return self.num_classes if self.features is None else self.features

    @nn.compact
    @checked
    def __call__(
        self, classes: Integer[Array, "batch *space"], keep: Bool[Array, " batch"] | None = None
    ) -> Condition:
        """Encode classes [B, H, W]."""
        counts(self, "num_classes")
        classes = jnp.asarray(classes, jnp.int32)  # holds the number that is no row, which a byte may not
        rows = self.num_classes + 1
        if self.features is None:
            table = jnp.eye(rows, self.num_classes)
        else:
            table = self.param("embedding", _LIKE_A_LABEL, (rows, self.features))
        if keep is not None:
            classes = jnp.where(_rows_like(keep, classes), classes, self.num_classes)
        return Condition(map=looked_up(table, classes))


class Noisy(NamedTuple):
    """Hold pictures with noise of their own.

    Attributes:
      picture: [B, h, w, C].
      level: [B] in [0, 1], the standard deviation of the noise.
    """

    picture: Float[Array, "batch *space channels"]
    level: Num[Array, " batch"]


class PictureMap(nn.Module):
    """Lay a picture or a map of numbers beside the pixels, enlarged to their size where it is smaller.

    The picture may have noise of its own, whose level the network is told: conditioning augmentation.

    Attributes:
      size: (H, W) of the network's input; None for a picture that has it.
      level_features: of the network's vector, to which the embedded level goes; None for pictures without a
        level.
      waves: size of the level's embedding.

    Reference: Ho et al. 2022 (cascaded diffusion), section 4.
    """

    size: tuple[int, int] | None = None
    level_features: int | None = None
    waves: int = 64

    @nn.compact
    @checked
    def __call__(
        self,
        value: Float[Array, "batch *space channels"] | Noisy,
        keep: Bool[Array, " batch"] | None = None,
    ) -> Condition:
        """Encode pictures [B, h, w, C], maps beside points [B, C], or `Noisy` ones.

        Where `keep` is False the picture is a learned pixel, and so it is where it is not finite.

        Raises:
          ValueError: for a level that is missing, or for which there are no `level_features`.
        """
        picture, level = value if isinstance(value, Noisy) else (value, None)
        if (level is None) != (self.level_features is None):
            needs = "left out" if self.level_features is None else "given, as there are level_features"
            raise ValueError(f"level: must be {needs}")
        picture = jnp.asarray(picture, jnp.float32)
        said = jnp.isfinite(picture).all(axis=tuple(range(1, picture.ndim)))
        said = said if keep is None else said & keep
        null = self.param("null", nn.initializers.zeros, picture.shape[-1:])
        picture = jnp.where(_rows_like(said, picture), picture, null)
        if self.size is not None and picture.shape[1:3] != tuple(self.size):
            picture = resized(picture, self.size)
        if level is None or self.level_features is None:
            return Condition(map=picture)
        embedded = timestep_embedding(1000.0 * jnp.asarray(level, jnp.float32), self.waves)
        h = nn.silu(nn.Dense(self.level_features, name="level_0")(embedded))
        vector = nn.Dense(self.level_features, name="level_1")(h)
        null = self.param("null_vector", nn.initializers.zeros, (self.level_features,))
        return Condition(vector=jnp.where(said[:, None], vector, null), map=picture)


def resized(
    x: Float[Array, "batch height width channels"], size: tuple[int, int]
) -> Float[Array, "batch new_height new_width channels"]:
    """Return pictures x [B, H, W, C] of another size (h, w): the one rule, whichever way.

    Where sides shrink by a whole factor it is the mean of the pixels that become one; otherwise, and where
    they grow, a bilinear filter, which is wide enough not to alias.
    """
    height, width = x.shape[1:3]
    if height % size[0] == 0 and width % size[1] == 0:
        cut = x.reshape(len(x), size[0], height // size[0], size[1], width // size[1], x.shape[-1])
        return cut.mean(axis=(2, 4))
    return jax.image.resize(x, (len(x), *size, x.shape[-1]), "linear", antialias=True)


def blurred(
    x: Float[Array, "batch height width channels"], width: float
) -> Float[Array, "batch height width channels"]:
    """Blur pictures x [B, H, W, C] by a Gaussian of this standard deviation in pixels, up to 4 of them.

    What lies outside repeats the border, so that a constant picture stays as it is.
    """
    rows, columns = (jnp.asarray(_blur(side, width), x.dtype) for side in x.shape[1:3])
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, x)


def _blur(side, width):
    """Return the weights of what comes in, [to, from], along one axis."""
    reach = math.ceil(4 * width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    places = np.arange(side)
    blur = np.zeros((side, side))
    for shift, weight in zip(range(-reach, reach + 1), weights / weights.sum()):
        np.add.at(blur, (places, np.clip(places + shift, 0, side - 1)), weight)
    return blur


def _rows_like(keep, x):
    return keep.reshape(-1, *[1] * (x.ndim - 1))


class NumberVector(nn.Module):
    """Say a number to a network, as a vector that is zero until it is trained.

    Attributes:
      vector_features: of the network's vector.
      scale: of the number: what differs by 1 / scale is well told apart.
      waves: size of its embedding.

    Reference: Meng et al. 2023, section 3.1, where it is the guidance weight.
    """

    vector_features: int
    scale: float = 20.0
    waves: int = 64

    @nn.compact
    @checked
    def __call__(self, value: Num[Array, " batch"], keep: Bool[Array, " batch"] | None = None) -> Condition:
        """Make the Condition of numbers [B]; one that is not kept says nothing."""
        counts(self, "vector_features", "waves")
        h = timestep_embedding(self.scale * jnp.asarray(value, jnp.float32), self.waves)
        h = nn.silu(nn.Dense(self.vector_features, name="number_0")(h))
        vector = nn.Dense(self.vector_features, kernel_init=nn.initializers.zeros, name="number_1")(h)
        return Condition(vector=vector if keep is None else jnp.where(keep[:, None], vector, 0))
