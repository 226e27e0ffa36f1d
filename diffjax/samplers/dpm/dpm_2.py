"""DPM-Solver-2: the midpoint rule over sigma / alpha, with the middle in log sigma / alpha (KDPM2)."""

import math
from typing import NamedTuple

from diffjax.process.level import Array, NoiseLevel, expand, neighbours
from diffjax.samplers.dpm import renoise
from diffjax.samplers.ode import churn
from diffjax.samplers.solver import Solver, no_memory, one_value, require_signal


class _Row(NamedTuple):
    level: NoiseLevel  # after the churn
    middle: NoiseLevel
    scale: Array  # of the churn
    churn: Array
    half: Array  # of rho, to the middle
    whole: Array  # of rho, to where the solver's step ends
    alpha: Array  # of the target
    noise: Array  # added at the target


@one_value
def dpm_2(s_churn: float = 0.0, s_min: float = 0.0, s_max: float = math.inf, s_noise: float = 1.0) -> Solver:
    """Step y = x / alpha over rho = sigma / alpha with the slope eps of the middle (Lu et al. 2022, Alg. 1).

    The middle is sqrt(rho_t rho_s), half way in log SNR: the schedule's `at_ratio`. A chain rounds it to a
    step, and in an interval with none between to one of its ends. Order 2, two network calls. On arrival at
    sigma = 0 the step is Euler's and returns the predicted x_0: N steps that end there are 2 N - 1 calls.

    Args:
      s_churn, s_min, s_max, s_noise: see `edm_heun`.

    Raises:
      ValueError: for a bad churn; in `plan`, for a grid that touches alpha = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_2(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    churn.check("dpm_2", s_churn, s_min, s_max, s_noise)

    def plan(schedule, times):
        return _plan("dpm_2", schedule, times, (s_churn, s_min, s_max, s_noise), 0.0, 0.0)

    return _solver(plan, s_churn, 0.0)


@one_value
def dpm_2_ancestral(eta: float = 1.0, s_noise: float = 1.0) -> Solver:
    """Step as `dpm_2` down to a lower level, and up again with fresh noise (`renoise.down_and_up`).

    On arrival at sigma = 0 it returns the predicted x_0.

    Args:
      eta: 0 `dpm_2`, 1 ancestral, see `renoise.down_and_up`.
      s_noise: scale of the noise.

    Raises:
      ValueError: for a negative eta or s_noise; in `plan`, as `dpm_2`.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_2_ancestral(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    renoise.check("dpm_2_ancestral", eta, s_noise)

    def plan(schedule, times):
        return _plan("dpm_2_ancestral", schedule, times, (0.0, 0.0, math.inf, 1.0), eta, s_noise)

    return _solver(plan, 0.0, eta)


def _plan(name, schedule, times, churn_options, eta, s_noise):
    levels = schedule(times)
    require_signal(levels, name)
    target, current = neighbours(levels)
    up = churn.churned(schedule, current, *churn_options)
    rho_t, rho_s = up.level.sigma / up.level.alpha, target.sigma / target.alpha
    down, noise = renoise.down_and_up(current.sigma / current.alpha, rho_s, eta)
    goal = renoise.middle(rho_t, down)  # Euler's step has none
    middle = schedule.at_ratio(goal)  # after churn it may lie beyond t_max
    rho = middle.sigma / middle.alpha
    return _Row(
        up.level, middle, up.scale, up.noise, rho - rho_t, down - rho_t, target.alpha,
        s_noise * target.alpha * noise,
    )  # fmt: skip


def _solver(plan, s_churn, eta):
    def half(noise, denoise, x, row, cond):
        x = churn.apply(noise, x, row, s_churn)
        return x / expand(row.level.alpha, x), denoise(x, row.level, cond).eps

    def finish(noise, y, slope, row):
        x = expand(row.alpha, y) * (y + expand(row.whole, y) * slope)
        return x + expand(row.noise, y) * noise(0) if eta else x

    def step(noise, denoise, x, row, cond, state):
        y, slope = half(noise, denoise, x, row, cond)
        middle = expand(row.middle.alpha, y) * (y + expand(row.half, y) * slope)
        return finish(noise, y, denoise(middle, row.middle, cond).eps, row), state

    def last(noise, denoise, x, row, cond, state):
        return finish(noise, *half(noise, denoise, x, row, cond), row), state

    return Solver(no_memory, plan, step, nfe=2, draws=1 if s_churn > 0 or eta else 0, last=last)
