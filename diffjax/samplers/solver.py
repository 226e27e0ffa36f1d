"""What a solver is, and the plan it makes of a time grid on the host.

A solver never sees a schedule on device: `plan` turns (schedule, times) into rows of finished float64
numbers, and `step` is a few multiply-adds and `nfe` network calls. Rows are arguments of the jitted
program, so another grid of the same length does not recompile.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import jax
import numpy as np
from jax.core import Tracer

from diffjax.border import checked
from diffjax.process.level import NoiseLevel, Schedule
from diffjax.samplers import asking
from diffjax.types import Array, Float

Make = TypeVar("Make", bound=Callable)
Times = Sequence[float] | Array  # host numbers


class Solver(NamedTuple):
    """A way to walk from noise to data, as pure functions.

    Attributes:
      init: x -> state of fixed shapes (None for solvers without memory).
      plan: (schedule, N + 1 times) -> rows, a pytree of float64 numpy arrays with leading axis N.
      step: (noise, denoise, x, row, cond, state) -> (x, state). `noise(d)` is the d-th unit normal of this
        step, of the shape of x.
      nfe: network calls a step.
      draws: unit normals a step.
      last: other `step` for the arrival at sigma = 0, or None.
      last_nfe: network calls of `last`.
      asked: (what is walked, dtype of x) -> it as steps call it: a denoiser, or of `jump` a flow map.
    """

    init: Callable
    plan: Callable
    step: Callable
    nfe: int
    draws: int = 1
    last: Callable | None = None
    last_nfe: int = 1
    asked: Callable = asking.predictions


class Rows(NamedTuple):
    """A planned grid: the rows of the ordinary steps, and that of `Solver.last` where it applies."""

    steps: Any
    last: Any = None


def one_value(make: Make) -> Make:
    """Make equal calls of a constructor return one value, so that they share compiled programs.

    What it is called with is checked first (`border.checked`): a 0-d array is the number that it holds.
    """
    signature = inspect.signature(make)
    cached = functools.lru_cache(maxsize=256, typed=True)(make)

    @functools.wraps(make)
    def constructor(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cached(*bound.arguments.values())

    return cast(Make, checked(constructor))


def no_memory(x: Float[Array, "batch *shape"]) -> None:
    """Return None, the `init` of a solver that keeps nothing between steps."""
    return None


def require_signal(levels: NoiseLevel, name: str) -> None:
    """Raise ValueError if the grid touches alpha = 0, where sigma / alpha is infinite."""
    if not isinstance(levels.alpha, Tracer) and (levels.alpha == 0).any():
        raise ValueError(
            f"{name} walks sigma / alpha, which is infinite at alpha = 0: start at a smaller time"
        )


@checked
def plan(schedule: Schedule, solver: Solver, times: Times) -> Rows:
    """Turn a time grid into rows of finished coefficients.

    Args:
      schedule: any schedule.
      solver: Solver.
      times: N + 1 host numbers, strictly decreasing (sampling), or increasing (encoding, for solvers that
        draw no noise).

    Returns:
      Rows of float64 numpy arrays, leading axis N (N - 1 if the solver has an other last step).

    Raises:
      ValueError: if the times are not strictly monotone (after a chain has rounded them), or run upwards
        with a stochastic solver, or where a coefficient is not finite.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> rows = samplers.plan(schedules.linear_beta(1000), samplers.ddim(), [1000, 500, 0])
      >>> rows.steps.x0.shape, samplers.network_calls(samplers.ddim(), rows)
      ((2,), 2)
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times must be a 1-D grid of at least 2 numbers, got shape {list(times.shape)}")
    levels = schedule(times)
    steps = np.diff(levels.t)
    if not ((steps < 0).all() or (steps > 0).all()):
        at = int(np.argmax(np.sign(steps) != np.sign(steps[0]) if steps[0] else steps == 0))
        raise ValueError(
            f"times must be strictly monotone, got {levels.t[at]:g} then {levels.t[at + 1]:g} "
            f"at position {at} (a chain rounds them to its steps {schedule.t_max:g}..0; `grids.distinct` "
            "merges repeats)"
        )
    if steps[0] > 0 and solver.draws:
        raise ValueError("times must decrease: a solver that draws noise cannot walk upwards")
    rows = solver.plan(schedule, times)
    _require_finite(rows, times)
    if solver.last is not None and levels.sigma[-1] == 0:
        return last_apart(rows)
    return Rows(rows)


def last_apart(rows: Any) -> Rows:
    """Return the rows of a grid whose last step is `Solver.last`'s."""
    return Rows(jax.tree.map(lambda a: a[:-1], rows), jax.tree.map(lambda a: a[-1], rows))


def _require_finite(rows, times):
    """Raise ValueError for a number that is none; logarithms and rates may be infinite at an end."""
    for path, field in jax.tree_util.tree_flatten_with_path(rows)[0]:
        if not isinstance(field, np.ndarray):
            continue  # a trained schedule's rows are made on device
        name = getattr(path[-1], "name", "")
        infinite = name.startswith(("log", "d_"))
        bad = np.isnan(field) if infinite else ~np.isfinite(field)
        if bad.any():
            at = min(int(np.argmax(bad)), len(times) - 2)
            raise ValueError(
                f"times must lie where the schedule is finite: the step from t = {times[at]:g} has "
                f"{field[bad].flat[0]} for {name or 'a coefficient'}"
            )
