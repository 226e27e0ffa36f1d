"""DPM-Solver++, multistep."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.solver import Solver, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    x: Array
    x0: Array
    extrapolate: Array


@one_value
def dpm_solver_pp(order=2):
    """Integrate exactly in lambda = log(alpha / sigma) with x_0 held (order 1) or extrapolated (order 2).

    Lu et al. 2022, Alg. 2 (2M): x_s = sigma_s / sigma_t x_t - alpha_s (e^{-h} - 1) D with
    D = (1 + 1 / 2r) x_0 - 1 / 2r x_0', r = h' / h, where x_0' and h' belong to the step before. Order 1
    is DDIM. The first step is of order 1, and so is one of infinite h: arrival at sigma = 0 returns the
    predicted x_0. One network call a step.

    Args:
      order: 1 or 2.

    Raises:
      ValueError: for another order; in `plan`, for a grid that starts at sigma = 0.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")

    def plan(schedule, times):
        levels = schedule(times)
        if levels.sigma[0] == 0:
            raise ValueError("dpm_solver_pp cannot start from clean data, where log SNR is infinite")
        target, current = part(levels, slice(1, None)), part(levels, slice(-1))
        h = 0.5 * np.diff(levels.log_snr)
        extrapolate = np.zeros_like(h)
        if order == 2:
            with np.errstate(invalid="ignore"):
                ratio = h[1:] / (2 * h[:-1])
            extrapolate[1:] = np.where(np.isfinite(ratio), ratio, 0)
        return _Row(current, target.sigma / current.sigma, -target.alpha * np.expm1(-h), extrapolate)

    def step(noise, denoise, x, row, cond, previous):
        x0 = denoise(x, row.level, cond).x0
        d = x0 + expand(row.extrapolate, x) * (x0 - previous)
        return expand(row.x, x) * x + expand(row.x0, x) * d, x0

    return Solver(jnp.zeros_like, plan, step, nfe=1, draws=0)
