"""A small convolutional network with one number for each image."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.models.blocks import Conditioning, conv3x3, mean_pool


class ConvEnergy(nn.Module):
    """Give an energy to small images; smooth, as its gradient is what samplers see.

    Convolutions with SiLU and no normalisation; between them means of 2x2 pixels, until at most 4 x 4 are
    left. (For points `MLP(out_features=1)` is an energy.)

    Attributes:
      features: channels of the first convolution; twice as many after each pooling.
      num_classes: rows of the label table; None for an unconditional energy.
      time_scale: multiplies `t` before its embedding, see `Conditioning`.
    """

    features: int = 32
    num_classes: int | None = None
    time_scale: float = 1.0

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, cond: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Apply the network.

        Args:
          x: images [B, H, W, C].
          t: times [B].
          cond: integer labels [B], or None for an unconditional energy.
          train: accepted by every network; this one behaves the same.

        Returns:
          Energies [B], float32 at least.

        Raises:
          ValueError: for another shape, or labels that do not suit the network.
        """
        del train
        if x.ndim != 4:
            raise ValueError(f"x: must be images [B, H, W, C]; got shape {x.shape}")
        width = self.features
        emb = nn.silu(
            Conditioning(4 * width, width, self.num_classes, self.time_scale, name="embed")(t, cond, len(x))
        )
        h = conv3x3(width, name="conv_in")(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        level = 0
        while True:
            shift = nn.Dense(h.shape[-1], name=f"emb_{level}")(emb)[:, None, None]
            h = nn.silu(conv3x3(2**level * width, name=f"conv_{level}")(nn.silu(h + shift)))
            if max(h.shape[1:3]) <= 4:
                break
            h = mean_pool(conv3x3(2 ** (level + 1) * width, name=f"widen_{level}")(h))
            level += 1
        h = nn.silu(nn.Dense(4 * width, name="hidden")(h.reshape(len(h), -1)))
        return nn.Dense(1, name="out")(h)[:, 0]
