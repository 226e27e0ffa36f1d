"""Contrastive divergence: maximum likelihood of an energy, its partition function replaced by samples.

    d/dtheta (-log p(x)) = dE(x)/dtheta - E_{x~ ~ p}[dE(x~)/dtheta]        (Hinton 2002)

The samples x~ come from a few Langevin steps (`samplers.short_run`): CD-k starts them at the data, persistent
CD where the last step of training left them, see `replay`.
"""

from typing import Any

import jax

from diffjax.border import checked
from diffjax.process import checks, prediction
from diffjax.process import energy as energies
from diffjax.process.energy import Energy
from diffjax.types import Array, Float


@checked
def contrastive_divergence(
    energy: Energy,
    x: Float[Array, "batch *shape"],
    x_model: Float[Array, "batch *shape"],
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
    *,
    regularization: float = 0.0,
) -> tuple[Float[Array, " batch"], dict[str, Float[Array, " batch"]]]:
    """Return E(x) - E(x~) + regularization (E(x)^2 + E(x~)^2), Du & Mordatch 2019, sec. 3.

    Its gradient is that of the negative log likelihood if the samples are the model's; its value is not.
    The square keeps the energies, of which only differences count, near 0.

    Args:
      energy: (x `[B, ...]`, t `[B]`, cond) -> `[B]`.
      x: `[B, ...]` data.
      x_model: `[B, ...]` samples of the model; no gradient passes through them.
      t: scalar or `[B]`, handed to the energy.
      cond: condition handed to the energy.
      regularization: at least 0.

    Returns:
      loss `[B]`, and aux {"energy", "energy_model"}, `[B]` both.

    Raises:
      ValueError: if x_model is not shaped like x, or the energy does not give one number for each sample.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> bowl = lambda x, t, cond: 0.5 * (x**2).sum(1)
      >>> objectives.contrastive_divergence(bowl, jnp.zeros((1, 2)), jnp.ones((1, 2)))[0].tolist()
      [-1.0]
    """
    checks.not_negative("regularization", regularization)
    t, x_model = prediction.times(t, x), jax.lax.stop_gradient(x_model)
    real, model = (energies.values(energy, each, t, cond) for each in (x, x_model))
    loss = real - model + regularization * (real**2 + model**2)
    return loss, {"energy": real, "energy_model": model}
