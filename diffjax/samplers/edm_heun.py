"""The stochastic second-order sampler of EDM."""

import math
from typing import NamedTuple

import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel  # after the churn
    target: NoiseLevel
    scale: Array  # alpha after / alpha before the churn
    churn: Array  # of the churn noise
    step: Array  # of sigma / alpha


@one_value
def edm_heun(s_churn=0.0, s_min=0.0, s_max=math.inf, s_noise=1.0):
    """Heun's method in y = x / alpha over r = sigma / alpha, with churn (Karras et al. 2022, Alg. 2).

    dy/dr is the predicted eps, so the step works on any schedule, chains included. The churned level is
    found with the schedule's `inv_sigma`; a chain rounds it to a step. On arrival at sigma = 0 the step is
    Euler's and returns the predicted x_0: N steps that end there are 2 N - 1 network calls.

    Args:
      s_churn: total churn, shared among the N steps; 0 is the deterministic sampler.
      s_min, s_max: the range of sigma / alpha that is churned.
      s_noise: scale of the churn noise.

    Raises:
      ValueError: for a negative churn or noise, or s_min > s_max; in `plan`, if the grid starts at alpha = 0,
        where sigma / alpha is infinite.
    """
    if s_churn < 0 or s_noise < 0 or not s_min <= s_max:
        raise ValueError(
            f"edm_heun needs s_churn >= 0, s_noise >= 0 and s_min <= s_max; "
            f"got {s_churn}, {s_noise}, {s_min}, {s_max}"
        )

    def plan(schedule, times):
        levels = schedule(times)
        if (levels.alpha == 0).any():
            raise ValueError(
                "edm_heun walks sigma / alpha, which is infinite at alpha = 0: start at a smaller time"
            )
        target, current = part(levels, slice(1, None)), part(levels, slice(-1))
        ratio = current.sigma / current.alpha
        gamma = np.where(
            (ratio >= s_min) & (ratio <= s_max), min(s_churn / len(ratio), math.sqrt(2) - 1), 0.0
        )
        if s_churn > 0:
            level = schedule(schedule.inv_sigma(ratio * (1 + gamma)))
            level = type(level)(*(_keep(gamma, old, new) for old, new in zip(current, level)))
            gamma = level.sigma / level.alpha / ratio - 1  # as the schedule has it
        else:
            level = current
        churn = level.alpha * ratio * np.sqrt(np.maximum(gamma * (2 + gamma), 0)) * s_noise
        step = target.sigma / target.alpha - level.sigma / level.alpha
        return _Row(level, target, level.alpha / current.alpha, churn, step)

    def euler(noise, denoise, x, row, cond):
        x = expand(row.scale, x) * x + (expand(row.churn, x) * noise(0) if s_churn > 0 else 0)
        slope = denoise(x, row.level, cond).eps
        y = x / expand(row.level.alpha, x)
        return y, slope, expand(row.target.alpha, x) * (y + expand(row.step, x) * slope)

    def step(noise, denoise, x, row, cond, state):
        y, first, x = euler(noise, denoise, x, row, cond)
        second = denoise(x, row.target, cond).eps
        return expand(row.target.alpha, x) * (y + expand(row.step, x) * 0.5 * (first + second)), state

    def last(noise, denoise, x, row, cond, state):
        return euler(noise, denoise, x, row, cond)[2], state

    return Solver(no_memory, plan, step, nfe=2, draws=1 if s_churn > 0 else 0, last=last)


def _keep(gamma, old, new):
    """Return the churned field where there is churn, else the grid's own, bit for bit."""
    return None if old is None else np.where(gamma > 0, new, old)
