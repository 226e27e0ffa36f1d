"""The loss of a network inside a preconditioning: EDM's, and those of VP and VE seen the same way."""

from typing import Any

from diffjax.border import checked
from diffjax.objectives.denoising import denoising
from diffjax.objectives.weightings import Weighting
from diffjax.process import prediction
from diffjax.process.level import NoiseLevel
from diffjax.process.preconditioning import Preconditioning
from diffjax.process.prediction import Network
from diffjax.types import Array, Float


@checked
def preconditioned(
    network: Network,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    preconditioning: Preconditioning,
    weighting: Weighting | None = None,
    x_t: Float[Array, "batch *shape"] | None = None,
) -> tuple[Float[Array, "batch"], dict[str, Any]]:
    """Return `denoising` of a network inside a preconditioning, with `prediction.reading_of` it.

    Args:
      network: (c_in y `[B, ...]`, c_noise `[B]`, cond) -> F `[B, ..., C or 2C]`; a second half is left alone.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel with sigma > 0, scalars or `[B]`.
      cond: condition handed to the network.
      preconditioning: level -> Scales, e.g. `prediction.edm_preconditioning(sigma_data=0.5)`.
      weighting: level -> weight of ||x_0 - D||^2 instead, see `objectives.weightings`.
      x_t: `[B, ...]` to show the network instead of alpha x_0 + sigma eps, see `perturbed_input`.

    Returns:
      loss `[B]`, and aux {"x_t", "prediction"}.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import prediction, schedules
      >>> edm = prediction.edm_preconditioning(sigma_data=0.5)
      >>> x0, eps, zero = jnp.zeros((1, 2)), jnp.ones((1, 2)), lambda x, t, cond: jnp.zeros_like(x)
      >>> level = schedules.edm()(0.5)
      >>> loss, _ = objectives.preconditioned(zero, x0, eps, level, preconditioning=edm)
      >>> loss.round(6).tolist()  # (c_skip sigma / c_out)^2
      [0.5]
    """
    reading = prediction.reading_of(preconditioning)
    return denoising(network, x0, eps, level, cond, reading=reading, weighting=weighting, x_t=x_t)
