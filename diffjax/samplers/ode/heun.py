"""Heun's method for the probability-flow ODE, in the schedule's own time."""

import math
from typing import NamedTuple

from diffjax.process import prediction
from diffjax.process.level import Array, NoiseLevel, expand, neighbours, part, require_finite_rates
from diffjax.samplers.ode import churn
from diffjax.samplers.ode.euler import along, euler, level_along
from diffjax.samplers.solver import Solver, no_memory, one_value, require_signal


class _Row(NamedTuple):
    level: NoiseLevel  # after the churn
    dt: Array
    scale: Array  # of the churn
    churn: Array
    second: NoiseLevel  # where the second slope is taken
    dt_second: Array  # the step's length by the rate there


@one_value
def heun(
    alpha: float = 1.0,
    s_churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = math.inf,
    s_noise: float = 1.0,
) -> Solver:
    """Step with a mean of the slopes at the start and at the share alpha of the step; order 2, two calls.

    x_s = x_t + dt [(1 - 1 / 2 alpha) v(t) + 1 / 2 alpha v(t + alpha dt)] (Karras et al. 2022, Alg. 3):
    alpha = 1 is Heun's method, 2/3 Ralston's, 1/2 the midpoint rule; on `ve` the steps are in sigma. On
    arrival at sigma = 0, where the second slope may have no meaning, the step is Euler's, with what that
    leaves there (see `euler`).

    Args:
      alpha: in (0, 1], a share of the step (not the signal's scale).
      s_churn, s_min, s_max, s_noise: churn before the step, see `edm_heun`.

    Raises:
      ValueError: for another alpha or a bad churn; in `plan`, on a chain, which has no rates, or with churn
        where the schedule's alpha = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.heun(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"heun needs alpha in (0, 1], got {alpha!r}")
    churn.check("heun", s_churn, s_min, s_max, s_noise)

    def plan(schedule, times):
        levels = schedule(times)
        require_finite_rates(part(levels, slice(-1)), "heun")
        if s_churn > 0:
            require_signal(levels, "churn")
        target, current = neighbours(levels)
        up = churn.churned(schedule, current, s_churn, s_min, s_max, s_noise)
        start, rate = along(schedule, up.level)
        length = along(schedule, target)[0] - start
        second = target if alpha == 1 else level_along(schedule, start + alpha * length)
        return _Row(up.level, length / rate, up.scale, up.noise, second, length / along(schedule, second)[1])

    def step(noise, denoise, x, row, cond, state):
        x = churn.apply(noise, x, row, s_churn)
        first = expand(row.dt, x) * prediction.velocity(denoise(x, row.level, cond), row.level)
        second = prediction.velocity(denoise(x + alpha * first, row.second, cond), row.second)
        return x + (1 - 0.5 / alpha) * first + 0.5 / alpha * expand(row.dt_second, x) * second, state

    last = euler(s_churn, s_min, s_max, s_noise).step
    return Solver(no_memory, plan, step, nfe=2, draws=1 if s_churn > 0 else 0, last=last)
