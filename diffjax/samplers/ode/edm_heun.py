"""The stochastic second-order sampler of EDM, and its first-order sibling."""

import math
from typing import NamedTuple

from diffjax.process.level import Array, NoiseLevel, expand, neighbours
from diffjax.samplers.ode import churn
from diffjax.samplers.solver import Solver, no_memory, one_value, require_signal


class _Row(NamedTuple):
    level: NoiseLevel  # after the churn
    target: NoiseLevel
    scale: Array  # alpha after / alpha before the churn
    churn: Array  # of the churn noise
    step: Array  # of sigma / alpha


@one_value
def edm_heun(
    s_churn: float = 0.0, s_min: float = 0.0, s_max: float = math.inf, s_noise: float = 1.0
) -> Solver:
    """Step by Heun's method in y = x / alpha over sigma / alpha, with churn (Karras et al. 2022, Alg. 2).

    dy / d rho, rho = sigma / alpha, is the predicted eps, so the step works on any schedule, also on chains.
    The churned level is the schedule's `at_ratio`; a chain rounds it to a step. On arrival at sigma = 0 the
    step is Euler's and returns the predicted x_0: N steps that end there are 2 N - 1 network calls.

    Args:
      s_churn: total churn, shared among the N steps; 0 is the deterministic sampler.
      s_min, s_max: the range of sigma / alpha that is churned.
      s_noise: scale of the churn noise.

    Raises:
      ValueError: for a negative churn or noise, or s_min > s_max; in `plan`, if the grid starts at alpha = 0,
        where sigma / alpha is infinite.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.edm_heun(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    churn.check("edm_heun", s_churn, s_min, s_max, s_noise)

    def step(noise, denoise, x, row, cond, state):
        y, first, x = _euler(noise, denoise, x, row, cond, s_churn)
        second = denoise(x, row.target, cond).eps
        return expand(row.target.alpha, x) * (y + expand(row.step, x) * 0.5 * (first + second)), state

    def last(noise, denoise, x, row, cond, state):
        return _euler(noise, denoise, x, row, cond, s_churn)[2], state

    plan = _planned("edm_heun", s_churn, s_min, s_max, s_noise)
    return Solver(no_memory, plan, step, nfe=2, draws=1 if s_churn > 0 else 0, last=last)


@one_value
def edm_euler(
    s_churn: float = 0.0, s_min: float = 0.0, s_max: float = math.inf, s_noise: float = 1.0
) -> Solver:
    """Take Euler's step where `edm_heun` takes Heun's: order 1, one network call.

    Without churn it is `ddim()`; with it, k-diffusion's `euler`. On arrival at sigma = 0 it returns the
    predicted x_0. Arguments and errors as there.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.edm_euler(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    churn.check("edm_euler", s_churn, s_min, s_max, s_noise)

    def step(noise, denoise, x, row, cond, state):
        return _euler(noise, denoise, x, row, cond, s_churn)[2], state

    plan = _planned("edm_euler", s_churn, s_min, s_max, s_noise)
    return Solver(no_memory, plan, step, nfe=1, draws=1 if s_churn > 0 else 0)


def _planned(name, *options):
    def plan(schedule, times):
        levels = schedule(times)
        require_signal(levels, name)
        target, current = neighbours(levels)
        up = churn.churned(schedule, current, *options)
        step = target.sigma / target.alpha - up.level.sigma / up.level.alpha
        return _Row(up.level, target, up.scale, up.noise, step)

    return plan


def _euler(noise, denoise, x, row, cond, s_churn):
    """Return y after the churn, the slope there, and x of Euler's step."""
    x = churn.apply(noise, x, row, s_churn)
    slope = denoise(x, row.level, cond).eps
    y = x / expand(row.level.alpha, x)
    return y, slope, expand(row.target.alpha, x) * (y + expand(row.step, x) * slope)
