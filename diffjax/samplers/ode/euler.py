"""Euler's method for the probability-flow ODE, in the schedule's own time."""

import math
from typing import NamedTuple, cast

from diffjax.process import prediction
from diffjax.process.level import Array, NoiseLevel, Schedule, expand, namespace, part, require_finite_rates
from diffjax.process.schedules import Continuous
from diffjax.samplers.ode import churn
from diffjax.samplers.solver import Solver, no_memory, one_value, require_signal


class _Row(NamedTuple):
    level: NoiseLevel  # after the churn
    dt: Array
    scale: Array  # of the churn
    churn: Array


@one_value
def euler(s_churn: float = 0.0, s_min: float = 0.0, s_max: float = math.inf, s_noise: float = 1.0) -> Solver:
    """Step x_s = x_t + (s - t) dx/dt, dx/dt = alpha' x_0 + sigma' eps; order 1.

    Not DDIM: that is Euler in the sigma/alpha plane (they agree on EDM's schedule, alpha = 1 and sigma = t,
    and on `ve`, whose steps are (sigma_s - sigma_t) dx/dsigma). The step onto sigma = 0 is as every other: it
    returns the predicted x_0 where alpha and sigma are linear in t (EDM, rectified flow) and on `ve`, and
    elsewhere leaves some noise of the last level in x (`vp_linear`: 0.01 of 50 steps).

    Args:
      s_churn, s_min, s_max, s_noise: churn before the step, see `edm_heun`.

    Raises:
      ValueError: for a bad churn; in `plan`, on a chain, which has no rates, or with churn where alpha = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.euler(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    churn.check("euler", s_churn, s_min, s_max, s_noise)

    def plan(schedule, times):
        levels = schedule(times)
        require_finite_rates(part(levels, slice(-1)), "euler")
        if s_churn > 0:
            require_signal(levels, "churn")
        up = churn.churned(schedule, part(levels, slice(-1)), s_churn, s_min, s_max, s_noise)
        start, rate = along(schedule, up.level)
        return _Row(up.level, (along(schedule, levels)[0][1:] - start) / rate, up.scale, up.noise)

    def step(noise, denoise, x, row, cond, state):
        x = churn.apply(noise, x, row, s_churn)
        slope = prediction.velocity(denoise(x, row.level, cond), row.level)
        return x + expand(row.dt, x) * slope, state

    return Solver(no_memory, plan, step, nfe=1, draws=1 if s_churn > 0 else 0)


def along(schedule: Schedule, level: NoiseLevel) -> tuple[Array, Array]:
    """Return what straight steps are taken in at these levels, t or sigma, and its rate in t; `[N]` each."""
    if _in_sigma(schedule):
        return level.sigma, level.d_sigma
    return level.t, namespace(level.t).ones_like(level.t)


def level_along(schedule: Schedule, value: Array) -> NoiseLevel:
    """Return the levels where `along` has these values, maybe beyond t_max after a churn."""
    if _in_sigma(schedule):
        return schedule.at_ratio(value)
    return schedule(value) if (value <= schedule.t_max).all() else cast(Continuous, schedule).level(value)


def _in_sigma(schedule):
    return getattr(schedule, "along", "t") == "sigma"  # a schedule of one's own need not say
