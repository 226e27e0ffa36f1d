"""Euler's method for the probability-flow ODE, in the schedule's own time."""

from typing import NamedTuple

import numpy as np

from diffjax.process import prediction
from diffjax.process.level import Array, NoiseLevel, expand, part, require_rates
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    dt: Array


@one_value
def euler():
    """Step x_s = x_t + (s - t) dx/dt, dx/dt = alpha' x_0 + sigma' eps; order 1.

    Not DDIM: that is Euler in the sigma/alpha plane (the two agree on EDM's schedule, alpha = 1). On
    arrival at sigma = 0 it returns the predicted x_0 where alpha and sigma are linear in t (EDM, rectified
    flow).

    Raises (in `plan`):
      ValueError: on a chain, which has no rates.
    """

    def plan(schedule, times):
        levels = schedule(times)
        require_rates(levels, "euler")
        return _Row(part(levels, slice(-1)), np.diff(levels.t))

    def step(noise, denoise, x, row, cond, state):
        slope = prediction.velocity(denoise(x, row.level, cond), row.level)
        return x + expand(row.dt, x) * slope, state

    return Solver(no_memory, plan, step, nfe=1, draws=0)
