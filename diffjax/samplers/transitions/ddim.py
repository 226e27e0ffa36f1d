"""Denoising diffusion implicit models."""

from typing import NamedTuple

import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.process import forward
from diffjax.process.level import Array, NoiseLevel, expand, namespace, neighbours, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    x0: Array
    eps: Array
    noise: Array


@one_value
def ddim(eta: float = 0.0, s_noise: float = 1.0, ahead: int = 1) -> Solver:
    """Step x_s = alpha_s x_0 + sqrt(sigma_s^2 - w^2) eps + w z, w = eta sqrt(posterior variance).

    Song et al. 2020, eq. 12 and 16. eta = 0 is deterministic, first order in the sigma/alpha plane, and
    can walk upwards (`encode`); eta = 1 is ancestral sampling with the small variance. On arrival at
    sigma = 0 it returns the predicted x_0.

    With `ahead` a step goes on to the time k after so many, and back to its own by fresh noise, x_s =
    (alpha_s / alpha_k) x_k + sqrt(sigma_s^2 - (alpha_s sigma_k / alpha_k)^2) z: 2 is the stochastic sampler
    of distilled models (Meng et al. 2023, sec. 3.3), whose own steps are twice the grid's.

    Args:
      eta: in [0, 1], the share of the posterior's noise.
      s_noise: scale of the noise z.
      ahead: at least 1; the last time ends the last steps.

    Raises:
      ValueError: for another eta, a negative s_noise, or both eta and steps ahead.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.ddim(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta!r}")
    if not s_noise >= 0:
        raise ValueError(f"s_noise must be at least 0, got {s_noise!r}")
    if checks.count("ahead", ahead) > 1 and eta:
        raise ValueError(f"eta must be 0 where steps go {ahead} ahead and back by noise, got {eta!r}")
    draws = 1 if eta or ahead > 1 else 0

    def plan(schedule, times):
        levels = schedule(times)
        target, current = neighbours(levels)
        # w^2 / sigma_s^2 = eta^2 c; walking upwards (eta = 0) has no c
        share = eta**2 * forward.pair(target, current).c if eta else np.zeros(np.shape(target.t))
        if ahead > 1:  # w^2 = sigma_s^2 c of s and the time that is gone to; the last step ends where it goes
            later = np.minimum(np.arange(1, len(share)) + ahead - 1, len(share))
            back = forward.pair(part(levels, later), part(target, slice(-1))).c
            share = namespace(back).append(back, 0.0)
        xp = namespace(share)
        noise = s_noise * target.sigma * xp.sqrt(share)
        return _Row(current, target.alpha, target.sigma * xp.sqrt(1 - share), noise)

    def step(noise, denoise, x, row, cond, state):
        prediction = denoise(x, row.level, cond)
        x = expand(row.x0, x) * prediction.x0 + expand(row.eps, x) * prediction.eps
        return (x + expand(row.noise, x) * noise(0) if draws else x), state

    return Solver(no_memory, plan, step, nfe=1, draws=draws)


@checked
def euler_ancestral(eta: float = 1.0, s_noise: float = 1.0) -> Solver:
    """Return `ddim(eta, s_noise)`, which is k-diffusion's `euler_ancestral` written in sigma / alpha.

    Example:
      >>> from diffjax import samplers
      >>> samplers.euler_ancestral() is samplers.ddim(1.0)
      True
    """
    return ddim(eta, s_noise)
