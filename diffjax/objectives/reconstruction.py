"""What an autoencoder's loss adds up: how much an adversary's opinion counts beside the error it makes."""

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.types import Array, Float


@checked
def adaptive_weight(
    of_error: Float[Array, "*shape"],
    of_game: Float[Array, "*shape"],
    epsilon: float = 1e-4,
    most: float = 1e4,
) -> Float[Array, ""]:
    """Return |grad error| / (|grad game| + epsilon), at most `most`: both pull the last layer as hard.

    No gradient passes through it.

    Args:
      of_error: gradients of the reconstruction's error in the last layer's weights.
      of_game: those of what the discriminator says.
      epsilon: positive; where the discriminator has no slope the weight stays finite.
      most: its largest value.

    Reference: Esser et al. 2021 (VQGAN), equation (7), as its code clamps it.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import reconstruction
      >>> float(reconstruction.adaptive_weight(jnp.array([3.0, 4.0]), jnp.array([0.0, 2.4999])))
      2.0
      >>> float(reconstruction.adaptive_weight(jnp.ones(4), jnp.zeros(4)))
      10000.0
    """
    checks.positive("epsilon", epsilon)
    checks.positive("most", most)
    norm = lambda gradients: jnp.sqrt(jnp.sum(gradients**2))
    return jax.lax.stop_gradient(jnp.minimum(norm(of_error) / (norm(of_game) + epsilon), most))
