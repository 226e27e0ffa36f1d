"""Networks under the calls that published ones have: with a context, or a small picture, in place of a
`Condition`. `Labelled` is the third of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.conditions import ClassTable, Condition
from diffjax.types import Array, ArrayLike, Float, Integer, Shaped


class Contextual(nn.Module):
    """Call a network with cross-attention as latent diffusion's and diffusers' are called.

    Parameters are `{"network": ..., "label": {"embedding": [num_classes, vector_features]}}`, the latter
    where there are classes.

    Attributes:
      network: called `(x, t, Condition, train=)`.
      num_classes: number of classes; None for a network without.
    """

    network: nn.Module
    num_classes: int | None = None

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch ..."],
        t: ArrayLike,
        context: Float[Array, "batch length token_features"],
        mask: Shaped[Array, "batch length"] | None = None,
        label: Integer[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch ..."]:
        """Apply the network.

        Args:
          x: [B, ...].
          t: times [B].
          context: [B, M, D], what cross-attention sees.
          mask: [B, M], true or 1 for what is there, false or 0 for padding; None where all is there.
          label: int [B] in 0..num_classes-1, where there are classes.
          train: see the network.

        Returns:
          What the network gives.
        """
        mask = None if mask is None else jnp.asarray(mask) != 0
        vector = _label_vector(self, label)
        return self.network(x, t, Condition(vector, context, mask), train=train)


class SuperResolution(nn.Module):
    """Call a network that takes a map with a small picture, which is enlarged to the size of `x`.

    Parameters are those of `Contextual`.

    Attributes:
      network: called `(x, t, Condition, train=)`; its `map_channels` are the picture's.
      num_classes: number of classes; None for a network without.

    Reference: Nichol & Dhariwal 2021, section 5; Dhariwal & Nichol 2021, section 5.1.
    """

    network: nn.Module
    num_classes: int | None = None

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: ArrayLike,
        low_res: Float[Array, "batch low_height low_width map_channels"],
        label: Integer[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch height width out"]:
        """Apply the network.

        Args:
          x: [B, H, W, C].
          t: times [B].
          low_res: [B, h, w, map_channels] in [-1, 1]; interpolated linearly between the centres of pixels.
          label: int [B] in 0..num_classes-1, where there are classes.
          train: see the network.

        Returns:
          What the network gives.
        """
        shape = (*low_res.shape[:1], *x.shape[1:3], low_res.shape[-1])
        map = jax.image.resize(low_res, shape, "bilinear", antialias=False)
        return self.network(x, t, Condition(_label_vector(self, label), map=map), train=train)


def _label_vector(module, label):
    """Return the vector of a class, or refuse a label that is missing or that nobody asked for."""
    classes = module.num_classes
    if (label is None) != (classes is None):
        wanted = "must be None, as the network has no classes" if classes is None else "must be int [B]"
        raise ValueError(f"label: {wanted} (num_classes={classes}); got {label!r}")
    if classes is None:
        return None
    return ClassTable(classes, module.network.vector_features, parent=module, name="label")(label).vector
