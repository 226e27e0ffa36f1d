"""Reverse diffusion sampling: the reverse SDE discretised as the forward chain is."""

from typing import NamedTuple

import numpy as np

from diffjax.process import forward
from diffjax.process.level import Array, NoiseLevel, expand, neighbours
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    x: Array
    eps: Array  # of the SDE
    noise: Array


@one_value
def reverse_diffusion(eta: float = 1.0) -> Solver:
    """Step x_s = (2 - a) x_t + (1 + eta^2)/2 G^2 score + eta G z, q(x_t | x_s) = N(a x_s, G^2).

    Song et al. 2021, app. E, for any two levels of any schedule: a = alpha_t / alpha_s, G^2 is the variance
    of the transition. On a chain a = sqrt(1 - beta), G^2 = beta; variance exploding has a = 1,
    G^2 = sigma_t^2 - sigma_s^2. eta = 0 is score_sde's probability-flow predictor. Sub-VP has no such
    discretisation in score_sde, which takes `euler_maruyama` there.

    On arrival at sigma = 0 it returns the mean of the reverse SDE's step, without noise, whatever eta: the
    predicted x_0 where alpha does not change, and up to beta^2 / 2 of it on a chain.

    Args:
      eta: share of the noise, at least 0.

    Raises:
      ValueError: for a negative eta; in `plan`, for increasing times, or for a grid that starts at alpha = 0
        unless eta = 1: f and g are infinite there, and only the reverse SDE forgets what the first steps do.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.reverse_diffusion(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    if not 0 <= eta < np.inf:
        raise ValueError(f"eta must be at least 0, got {eta!r}")

    def plan(schedule, times):
        levels = schedule(times)
        below, above = neighbours(levels)
        if not (below.log_snr > above.log_snr).all():
            raise ValueError("times must decrease: reverse_diffusion walks from noise to data")
        if eta != 1 and (above.alpha == 0).any():
            raise ValueError("reverse_diffusion: f and g are infinite at alpha = 0; start at a smaller time")
        pair = forward.pair(below, above)
        spread = np.exp(0.5 * pair.log_var_ts)
        return _Row(above, 2 - pair.alpha_ts, -(spread**2) / above.sigma, spread)

    def step(noise, denoise, x, row, cond, state):
        slope = 0.5 * (1 + eta**2) * expand(row.eps, x)
        x = expand(row.x, x) * x + slope * denoise(x, row.level, cond).eps
        return (x + eta * expand(row.noise, x) * noise(0) if eta else x), state

    def last(noise, denoise, x, row, cond, state):
        return expand(row.x, x) * x + expand(row.eps, x) * denoise(x, row.level, cond).eps, state

    return Solver(no_memory, plan, step, nfe=1, draws=1 if eta else 0, last=last)
