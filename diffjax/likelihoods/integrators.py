"""Integrators of dy/dt = field(level, y) along a schedule, for any pytree y.

Fixed steps are taken in u = log(sigma / alpha) where that is finite: in u the rates of every schedule are
smooth, a chain's too, which jump in t at each of its steps. The levels that the field sees are the schedule's
own, with rates in t, by which networks of the velocity are read; its slopes are turned into those in u.

What `log_likelihood` walks with: samplers step x alone (`samplers.heun`), these also carry what is integrated
along the way. `adaptive` is the one that chooses its own steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, log_snr_rate, require_finite_rates
from diffjax.samplers.adaptive import flow
from diffjax.samplers.adaptive.span import check_tolerances, import_diffrax
from diffjax.samplers.solver import one_value


class Integrator(NamedTuple):
    """A way to integrate an ODE along a schedule's own time.

    Attributes:
      plan: (schedule, times) -> rows, on the host; times monotone in either direction.
      run: (field, rows, y) -> y at the last time; `field(level, y) -> dy/dt`, pytrees like y.
    """

    plan: Callable
    run: Callable


class _Row(NamedTuple):
    levels: NoiseLevel  # [stages]
    rate: Array  # [stages], dt / du of the variable u of the steps
    reach: Array  # [stages], how far along the last slope the stage lies
    weight: Array  # [stages], of its slope in the step


@one_value
def heun() -> Integrator:
    """Make Heun's method, order 2, two calls of the field a step (not `samplers.heun`, which steps x alone).

    Example:
      >>> from diffjax.likelihoods import integrators
      >>> integrators.heun() is integrators.heun()
      True
    """
    return _explicit(nodes=(0, 1), weights=(1 / 2, 1 / 2))


@one_value
def rk4() -> Integrator:
    """Make the classical Runge-Kutta method, order 4, four calls of the field a step.

    Example:
      >>> from diffjax.likelihoods import integrators
      >>> from diffjax.process import schedules
      >>> integrators.rk4().plan(schedules.edm(), [1.0, 10.0]).weight.shape  # [steps, stages]
      (1, 4)
    """
    return _explicit(nodes=(0, 1 / 2, 1 / 2, 1), weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6))


@one_value
def adaptive(rtol: float = 1e-5, atol: float = 1e-5, solver: Any = None, max_steps: int = 4096) -> Integrator:
    """Make the Integrator that chooses its own steps, by diffrax; of the times only the ends count.

    Args:
      rtol, atol: tolerances of a step. 1e-5 is near what float32 carries.
      solver: a diffrax ODE solver, default `diffrax.Tsit5()` of order 5.
      max_steps: after which it raises.

    Raises:
      ImportError: without diffrax.
      ValueError: for tolerances that are not positive.
    """
    solver = import_diffrax().Tsit5() if solver is None else solver
    check_tolerances(rtol, atol)

    def plan(schedule, times):
        return flow.flow_span(schedule, *np.asarray(times, np.float64)[[0, -1]])

    def run(field, rows, y):
        return flow.integrate(field, rows, y, rtol, atol, solver, max_steps)

    return Integrator(plan, run)


def _explicit(nodes, weights):
    """A method whose every stage lies along the slope of the stage before it.

    The stages are a scan, so that the field is compiled once.
    """

    def plan(schedule, times):
        times = np.asarray(times, np.float64)
        levels = schedule(times)
        require_finite_rates(levels, "an ODE in the schedule's own time")
        finite = np.isfinite(levels.log_snr).all()
        u = -0.5 * levels.log_snr if finite else times
        du = np.diff(u)[:, None]
        inner = u[:-1, None] + du * nodes
        at = schedule.inv_log_snr(-2 * inner) if finite else inner
        # the ends as given, not what rounding makes of them
        for end, given in ((0, times[:-1, None]), (1, times[1:, None])):
            at = np.where(np.array(nodes) == end, given, at)
        stages = schedule(at)
        rate = -2 / log_snr_rate(stages) if finite else np.ones_like(at)
        return _Row(stages, rate, du * nodes, du * weights)

    def run(field, rows, y):
        def stage(carry, row):
            begin, y, slope = carry
            slope = field(row.levels, _move(begin, row.reach, slope))
            slope = jax.tree.map(lambda a: row.rate.astype(a.dtype) * a, slope)
            return (begin, _move(y, row.weight, slope), slope), None

        def step(y, row):
            return jax.lax.scan(stage, (y, y, jax.tree.map(jnp.zeros_like, y)), row)[0][1], None

        return jax.lax.scan(step, y, rows)[0]

    return Integrator(plan, run)


def _move(y, dt, slope):
    return jax.tree.map(lambda a, b: a + dt.astype(a.dtype) * b, y, slope)
