"""Energies: p(x) proportional to exp(-E(x)), read as networks that predict a score.

    score = grad log p = -grad E,        log p = -E - log Z                                            (1)

An energy is a function (x `[B, ...]`, t `[B]`, cond) -> E `[B]`, one number for each sample.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.convolutions import in_order
from diffjax.process.prediction import Network
from diffjax.types import Array, Float

Energy = Callable[[Array, Array, Any], Array]  # (x `[B, ...]`, t `[B]`, cond) -> `[B]`


@checked
def values(
    energy: Energy, x: Float[Array, "batch *shape"], t: Array, cond: Any = None
) -> Float[Array, " batch"]:
    """Return E(x), `[B]`, and refuse what is no energy.

    Args:
      energy: (x, t, cond) -> `[B]`.
      x: `[B, ...]`.
      t: `[B]` times handed to the energy.
      cond: condition handed to the energy.

    Raises:
      ValueError: if the energy does not give one number for each sample.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import energy
      >>> energy.values(lambda x, t, cond: 0.5 * (x**2).sum(1), jnp.ones((2, 4)), jnp.zeros(2)).tolist()
      [2.0, 2.0]
    """
    found = energy(x, t, cond)
    if jnp.shape(found) != jnp.shape(x)[:1]:
        raise ValueError(
            f"an energy must give one number for each sample, shape {[jnp.shape(x)[0]]} for x "
            f"{list(jnp.shape(x))}; got shape {list(jnp.shape(found))}"
        )
    return found


@checked
def score(energy: Energy) -> Network:
    """Return the network (x, t, cond) -> -grad E(x) of (1), `[B, ...]`.

    A network of kind "score": `prediction.denoiser(energy.score(e), "score")` is its Denoiser, and every loss
    of `objectives.score_matching` trains the energy through it.

    Args:
      energy: (x `[B, ...]`, t `[B]`, cond) -> `[B]`, whose samples do not see each other.

    Raises:
      ValueError: when called, if the energy does not give one number for each sample.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import energy
      >>> energy.score(lambda x, t, cond: 0.5 * (x**2).sum(1))(jnp.ones((1, 2)), jnp.zeros(1)).tolist()
      [[-1.0, -1.0]]
    """

    def network(x, t, cond=None):
        return -in_order(jax.grad(lambda x: values(energy, x, t, cond).sum()))(x)

    return network
