"""A small convolutional network that says how to dequantise each pixel."""

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.blocks import conv3x3, single
from diffjax.models.embeddings import octaves
from diffjax.types import Array, Float


class ConvDequantiser(nn.Module):
    """Give each pixel the mean and log scale of a law squashed into its bin, from the pixels around it.

    Attributes:
      features: channels of the hidden convolutions.
      depth: residual convolutions after the first one; each sees one pixel further.
      frequencies: of the sines and cosines of `x` that the first convolution sees beside `x`, see
        `embeddings.octaves`; 9 octaves tell neighbours of 256 values apart.
    """

    features: int = 32
    depth: int = 2
    frequencies: int | tuple[int, ...] = 9

    @nn.compact
    @checked
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> tuple[Float[Array, "batch height width channels"], Float[Array, "batch height width channels"]]:
        """Apply the network.

        Args:
          x: images [B, H, W, C] in [-1, 1].

        Returns:
          Mean and log scale, [B, H, W, C] each; 0 at initialisation.

        Raises:
          ValueError: for another shape.
        """
        seen = octaves(single(x), self.frequencies)
        h = conv3x3(self.features, name="conv_in")(seen)
        for i in range(self.depth):
            h = h + conv3x3(self.features, name=f"conv_{i}")(nn.silu(h))
        mean, log_scale = jnp.split(conv3x3(2 * x.shape[-1], zero=True, name="out")(nn.silu(h)), 2, axis=-1)
        return mean, log_scale
