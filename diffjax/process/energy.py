"""Energies: p(x) proportional to exp(-E(x)), read as networks that predict a score.

    score = grad log p = -grad E,        log p = -E - log Z                                            (1)

An energy is a function (x `[B, ...]`, t `[B]`, cond) -> E `[B]`, one number for each sample.
"""

import jax
import jax.numpy as jnp


def values(energy, x, t, cond=None):
    """Return E(x), `[B]`, and refuse what is no energy.

    Args:
      energy: (x, t, cond) -> `[B]`.
      x: `[B, ...]`.
      t: `[B]` times handed to the energy.
      cond: condition handed to the energy.

    Raises:
      ValueError: if the energy does not give one number for each sample.
    """
    found = energy(x, t, cond)
    if jnp.shape(found) != jnp.shape(x)[:1]:
        raise ValueError(
            f"an energy must give one number for each sample, shape {[jnp.shape(x)[0]]} for x "
            f"{list(jnp.shape(x))}; got shape {list(jnp.shape(found))}"
        )
    return found


def score(energy):
    """Return the network (x, t, cond) -> -grad E(x) of (1), `[B, ...]`.

    A network of kind "score": `prediction.denoiser(energy.score(e), "score")` is its Denoiser, and every loss
    of `objectives.score_matching` trains the energy through it.

    Args:
      energy: (x `[B, ...]`, t `[B]`, cond) -> `[B]`, whose samples do not see each other.

    Raises:
      ValueError: when called, if the energy does not give one number for each sample.
    """

    def network(x, t, cond=None):
        return -jax.grad(lambda x: values(energy, x, t, cond).sum())(x)

    return network
