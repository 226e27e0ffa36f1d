"""CLIP: a transformer of pictures and one of texts, projected into one space."""

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.transformer import Block, TextTransformer
from diffjax.types import Array, Float, Integer


class VisionTransformer(nn.Module):
    """See a picture as patches behind a class token, whose last state stands for all of it.

    Attributes:
      size: side of the pictures.
      patch: side of a patch.
      width: of a token.
      depth: blocks.
      num_heads, hidden, activation, epsilon: see `transformer.Block`.

    Reference: Dosovitskiy et al. 2021 (ViT), equations (1) to (4); Radford et al. 2021, section 2.4 (one more
    normalisation before the blocks).
    """

    size: int
    patch: int
    width: int
    depth: int
    num_heads: int
    hidden: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "batch size size channels"]) -> Float[Array, "batch width"]:
        """Return the class token [B, width], normalised, of pictures x [B, size, size, C].

        Raises:
          ValueError: for pictures of another size.
        """
        if x.shape[1:3] != (self.size, self.size):
            found = "x".join(map(str, x.shape[1:3]))
            raise ValueError(f"x: must be pictures of {self.size}x{self.size}; got {found}")
        side, start = (self.patch, self.patch), nn.initializers.normal(0.02)
        h = nn.Conv(self.width, side, side, "VALID", use_bias=False, name="patches")(x)
        first = self.param("class_embedding", start, (self.width,))
        first = jnp.broadcast_to(first, (len(x), 1, self.width))
        h = jnp.concatenate([first, h.reshape(len(x), -1, self.width)], axis=1)
        h = h + self.param("places", start, h.shape[1:])
        h = nn.LayerNorm(epsilon=self.epsilon, name="norm_in")(h)
        for i in range(self.depth):
            how = {"activation": self.activation, "epsilon": self.epsilon}
            h = Block(self.num_heads, self.hidden, **how, name=f"block_{i}")(h)
        return nn.LayerNorm(epsilon=self.epsilon, name="norm")(h[:, 0])


class CLIP(nn.Module):
    """Turn pictures and texts into features of one space, in which those that belong together are near.

    Attributes:
      vision_model, text_model: the towers.
      features: size D of the space.

    Reference: Radford et al. 2021, figure 3.
    """

    vision_model: VisionTransformer
    text_model: TextTransformer
    features: int

    def setup(self) -> None:
        """Make the projections."""
        self.visual_projection = nn.Dense(self.features, use_bias=False)
        self.text_projection = nn.Dense(self.features, use_bias=False)

    def __call__(
        self, x: Float[Array, "batch size size channels"], ids: Integer[Array, "texts tokens"]
    ) -> tuple[Float[Array, "batch features"], Float[Array, "texts features"]]:
        """Return what `image` makes of pictures and `text` of texts."""
        return self.image(x), self.text(ids)

    @checked
    def image(self, x: Float[Array, "batch size size channels"]) -> Float[Array, "batch features"]:
        """Return features [B, D], of any norm, of pictures [B, size, size, C] as the weights were trained on.

        Raises:
          ValueError: for pictures of another size.
        """
        return self.visual_projection(self.vision_model(x))

    @checked
    def text(self, ids: Integer[Array, "texts tokens"]) -> Float[Array, "texts features"]:
        """Return features [B, D], of any norm, of token ids [B, M].

        What fills a text up behind its end needs no mask: no token sees those after it.

        Raises:
          ValueError: for more tokens than `text_model.length`.
        """
        return self.text_projection(self.text_model.pooled(ids))
