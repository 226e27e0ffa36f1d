"""Pseudo linear multistep (PNDM)."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.multistep.linear import plus
from diffjax.samplers.solver import Solver, one_value, require_signal

# slopes of Adams-Bashforth on equal steps, newest first
_ADAMS = {2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


class _Row(NamedTuple):
    """One network call; x_s = x (anchor) + slope (now e + gather + sum_j past_j e_j)."""

    level: NoiseLevel
    fresh: Array  # 1: x becomes the anchor
    push: Array  # 1: e joins the past
    keep: Array  # 1: what was gathered stays
    add: Array  # of e to what is gathered
    x: Array
    slope: Array
    now: Array
    gather: Array
    past: tuple


@one_value
def pndm(warm_up: Literal["runge_kutta", "multistep"] = "runge_kutta") -> Solver:
    """Step by Adams-Bashforth of order 4 for eps and DDIM's formula (Liu et al. 2022, Alg. 2, eq. 9 to 13).

    The first three steps are Runge-Kutta's (F-PNDM: 4 calls each, with a point between in time), or Euler's
    improved method and Adams-Bashforth of rising order (S-PNDM's beginning, PLMS in Stable Diffusion: 2 calls
    for the first step). The weights are those of equal steps in t, also where the grid's are not: use
    `deis` there. N steps are N + 9, or N + 1, network calls, and a trajectory holds x after every call. On
    arrival at sigma = 0 the slope is extrapolated too, as in the reference; the predicted x_0 returns only
    from a walk of one step.

    Args:
      warm_up: the first steps.

    Raises:
      ValueError: in `plan`, for a grid that touches alpha = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.pndm(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """

    def plan(schedule, times):
        levels = schedule(times)
        require_signal(levels, "pndm")
        calls = []
        for i in range(len(levels.t) - 1):
            make = _later
            if i < 3 and warm_up == "runge_kutta":
                make = _runge_kutta
            elif i == 0:
                make = _improved_euler
            calls += make(schedule, part(levels, i), part(levels, i + 1), i)
        return _stack(calls)

    def init(x):
        zero = jnp.zeros_like(x)
        return x, zero, (zero,) * 3

    def step(noise, denoise, x, row, cond, state):
        anchor, gathered, past = state
        e = denoise(x, row.level, cond).eps
        anchor = jnp.where(expand(row.fresh, x) > 0, x, anchor)
        slope = expand(row.now, x) * e + expand(row.gather, x) * gathered
        slope = plus(slope, row.past, past)
        gathered = expand(row.keep, x) * gathered + expand(row.add, x) * e
        pushed = (e, *past[:-1])
        past = tuple(jnp.where(expand(row.push, x) > 0, a, b) for a, b in zip(pushed, past, strict=True))
        return expand(row.x, x) * anchor + expand(row.slope, x) * slope, (anchor, gathered, past)

    return Solver(init, plan, step, nfe=1, draws=0)


def _row(level, start, end, **fields):
    """A call at `level` whose result steps from `start` to `end`; what is not given is 0."""
    zero = {"fresh": 0.0, "push": 0.0, "keep": 0.0, "add": 0.0, "now": 0.0, "gather": 0.0}
    x = end.alpha / start.alpha
    past = fields.pop("past", (0.0,) * 3)
    return _Row(level, x=x, slope=end.sigma - x * start.sigma, past=past, **(zero | fields))


def _runge_kutta(schedule, start, end, i):
    if end.sigma == 0:  # the fourth slope has no meaning there
        return [_row(start, start, end, fresh=1.0, push=1.0, now=1.0)]
    time = 0.5 * (start.t + end.t)
    middle = schedule(time if schedule.num_steps is None else np.floor(time + 0.5))
    return [
        _row(start, start, middle, fresh=1.0, push=1.0, add=1 / 6, now=1.0),
        _row(middle, start, middle, keep=1.0, add=1 / 3, now=1.0),
        _row(middle, start, end, keep=1.0, add=1 / 3, now=1.0),
        _row(end, start, end, now=1 / 6, gather=1.0),
    ]


def _improved_euler(schedule, start, end, i):
    if end.sigma == 0:
        return [_row(start, start, end, fresh=1.0, push=1.0, now=1.0)]
    return [
        _row(start, start, end, fresh=1.0, push=1.0, now=1.0),
        _row(end, start, end, now=0.5, past=(0.5, 0.0, 0.0)),
    ]


def _later(schedule, start, end, i):
    now, *past = _ADAMS[min(i + 1, 4)]
    past = (*past, *(0.0,) * (3 - len(past)))
    return [_row(start, start, end, fresh=1.0, push=1.0, now=now, past=past)]


def _stack(calls):
    """Turn rows of numbers into one row of arrays."""
    fields = []
    for name, values in zip(_Row._fields, zip(*calls)):
        if name == "level":
            fields.append(NoiseLevel(*(None if f[0] is None else np.array(f) for f in zip(*values))))
        elif name == "past":
            fields.append(tuple(np.array(f) for f in zip(*values)))
        else:
            fields.append(np.array(values, np.float64))
    return _Row(*fields)
