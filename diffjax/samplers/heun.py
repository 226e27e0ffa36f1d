"""Heun's method for the probability-flow ODE, in the schedule's own time."""

from typing import NamedTuple

import numpy as np

from diffjax.process import prediction
from diffjax.process.level import Array, NoiseLevel, expand, part, require_rates
from diffjax.samplers.euler import euler
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    dt: Array
    target: NoiseLevel


@one_value
def heun():
    """Step with the mean of the slopes at both ends; order 2, two network calls.

    On arrival at sigma = 0, where the second slope has no meaning, the step is Euler's.

    Raises (in `plan`):
      ValueError: on a chain, which has no rates.
    """

    def plan(schedule, times):
        levels = schedule(times)
        require_rates(levels, "heun")
        return _Row(part(levels, slice(-1)), np.diff(levels.t), part(levels, slice(1, None)))

    def step(noise, denoise, x, row, cond, state):
        dt = expand(row.dt, x)
        first = prediction.velocity(denoise(x, row.level, cond), row.level)
        second = prediction.velocity(denoise(x + dt * first, row.target, cond), row.target)
        return x + dt * 0.5 * (first + second), state

    return Solver(no_memory, plan, step, nfe=2, draws=0, last=euler().step)
