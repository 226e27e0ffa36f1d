"""Euler-Maruyama for the reverse SDE, in the schedule's own time."""

from typing import NamedTuple

import numpy as np

from diffjax.process import sde
from diffjax.process.level import Array, NoiseLevel, expand, require_finite_rates
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    x: Array
    eps: Array
    noise: Array


@one_value
def euler_maruyama(eta: float = 1.0) -> Solver:
    """Step dx = [f x - (1 + eta^2)/2 g^2 score] dt + eta g dw with dt = s - t < 0.

    Song et al. 2021, eq. 6 (eta = 1, the reverse SDE) and eq. 13 (eta = 0, the probability-flow ODE, where
    the step is Euler's and can walk upwards). Any eta has the right marginals; weak order 1. On arrival at
    sigma = 0, where the SDE's coefficients have no meaning, it returns the predicted x_0.

    Not `reverse_diffusion`, which steps with the transition of the two levels and works on chains.

    Args:
      eta: share of the noise, at least 0.

    Raises:
      ValueError: for a negative eta; in `plan`, on a chain, which has no rates, and for a grid that starts
        at alpha = 0, where f and g are infinite, or at sigma = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.euler_maruyama(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    if not 0 <= eta < np.inf:
        raise ValueError(f"eta must be at least 0, got {eta!r}")

    def plan(schedule, times):
        times = np.asarray(times, np.float64)
        level, dt = schedule(times[:-1]), np.diff(times)
        require_finite_rates(level, "euler_maruyama")
        if (level.alpha == 0).any():
            raise ValueError("euler_maruyama: f and g are infinite at alpha = 0; start at a smaller time")
        if (level.sigma == 0).any():
            raise ValueError(
                "euler_maruyama: the score is infinite at sigma = 0; begin at the schedule's t_min"
            )
        f, g = level.d_alpha / level.alpha, sde.diffusion(schedule, times[:-1])
        eps = dt * 0.5 * (1 + eta**2) * g**2 / level.sigma
        return _Row(level, 1 + dt * f, eps, eta * g * np.sqrt(np.abs(dt)))

    def step(noise, denoise, x, row, cond, state):
        eps = denoise(x, row.level, cond).eps
        x = expand(row.x, x) * x + expand(row.eps, x) * eps
        return (x + expand(row.noise, x) * noise(0) if eta else x), state

    def last(noise, denoise, x, row, cond, state):
        return denoise(x, row.level, cond).x0, state

    return Solver(no_memory, plan, step, nfe=1, draws=1 if eta else 0, last=last)
