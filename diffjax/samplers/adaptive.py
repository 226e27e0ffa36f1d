"""Adaptive steps by diffrax: the probability-flow ODE and the reverse SDE to a tolerance.

Install it with `pip install diffjax[adaptive]`; nothing else here needs it. One step size serves the whole
batch, as in score_sde, so that a sample does depend on its companions, by about the tolerance.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.process import checks, prediction, sde
from diffjax.process.level import Array, at_least_float32, expand, require_finite_rates, require_rates
from diffjax.samplers.integrators import Integrator
from diffjax.samplers.solver import one_value
from diffjax.samplers.walk import start_of


class _Span(NamedTuple):
    schedule: Any  # a pytree without leaves: another schedule is another program
    begin: Array
    end: Array


@one_value
def integrator(rtol=1e-5, atol=1e-5, solver=None, max_steps=4096):
    """Return the Integrator that chooses its own steps; of the times only the ends count.

    Args:
      rtol, atol: tolerances of a step. 1e-5 is near what float32 carries.
      solver: a diffrax ODE solver, default `diffrax.Tsit5()` of order 5.
      max_steps: after which it raises.

    Raises:
      ImportError: without diffrax.
      ValueError: for tolerances that are not positive.
    """
    diffrax = _diffrax()
    _check_tolerances(rtol, atol)
    solver = diffrax.Tsit5() if solver is None else solver

    def plan(schedule, times):
        times = np.asarray(times, np.float64)[[0, -1]]
        require_finite_rates(schedule(times), "an adaptive ODE")
        return _Span(jax.tree_util.Partial(schedule), *times)

    def run(field, rows, y):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: field(rows.schedule(t), y)),
            solver, rows.begin, rows.end, dt0=None, y0=y, max_steps=max_steps,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        )  # fmt: skip
        return jax.tree.map(lambda a: a[0], solution.ys)

    return Integrator(plan, run)


def sample_ode(
    key, denoise, schedule, *, shape=None, x_init=None, cond=None, times=None, rtol=1e-5, atol=1e-5,
    solver=None,
):  # fmt: skip
    """Sample by the probability-flow ODE (Song et al. 2021, eq. 13) with adaptive steps.

    Args:
      key: for the start; see `sample`.
      denoise, schedule, cond: see `sample`; the schedule has rates.
      shape, x_init: exactly one, see `sample`.
      times: (from, to), default (t_max, 0). An end at sigma = 0 stops at t_min and returns the x_0 predicted
        there; from data to noise, (t_min, t_max) encodes.
      rtol, atol, solver: see `integrator`.

    Returns:
      x `[B, ...]`.

    Raises:
      ImportError: without diffrax.
      ValueError: on a chain, unless exactly one of shape and x_init is given, or for a shape without a start
        near the noisy end.
    """
    begin, end, lands = ends(schedule, times)
    steps = integrator(rtol, atol, solver)
    rows = steps.plan(schedule, [begin, end])
    x = initial(key, schedule, shape, x_init, begin)
    return _flow(denoise, steps, rows, x, cond, lands)


def sample_sde(
    key, denoise, schedule, *, shape=None, x_init=None, cond=None, times=None, rtol=1e-2, atol=1e-2,
    solver=None, max_steps=4096,
):  # fmt: skip
    """Sample by the reverse SDE (Song et al. 2021, eq. 6) with adaptive steps on one Brownian path.

    Args:
      key: for the start and the path; one key.
      denoise, schedule, cond, shape, x_init: see `sample_ode`.
      times: (from, to), decreasing, default (t_max, 0); starts below alpha = 0, where the SDE is infinite.
        An end at sigma = 0 stops at t_min and returns the x_0 predicted there.
      rtol, atol: tolerances of a step.
      solver: a diffrax solver for additive noise, default `diffrax.ShARK()` of strong order 1.5.
      max_steps: after which it raises.

    Returns:
      x `[B, ...]`.

    Raises:
      ImportError: without diffrax.
      ValueError: on a chain, for tolerances that are not positive, increasing times or a start at alpha = 0,
        unless exactly one of shape and x_init is given, or for a shape without a start near the noisy end.
    """
    diffrax = _diffrax()
    _check_tolerances(rtol, atol)
    begin, end, lands = ends(schedule, times)
    first = schedule(np.float64(begin))
    require_rates(first, "an adaptive SDE")
    if begin <= end:
        raise ValueError(
            f"the reverse SDE runs from noise to data: times must decrease, got {begin:g}, {end:g}"
        )
    if first.alpha == 0:
        raise ValueError("the reverse SDE is infinite at alpha = 0; start at a smaller time")
    solver = diffrax.ShARK() if solver is None else solver
    x = initial(key, schedule, shape, x_init, begin)
    span = _Span(jax.tree_util.Partial(schedule), np.float64(begin), np.float64(end))
    return _noisy(jax.random.fold_in(key, 1), denoise, solver, span, x, cond, lands, (rtol, atol, max_steps))


@functools.partial(jax.jit, static_argnames=("denoise", "steps", "lands"))
def _flow(denoise, steps, rows, x, cond, lands):
    rows = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), rows)
    x = steps.run(lambda level, x: prediction.velocity(denoise(x, level, cond), level), rows, x)
    return denoise(x, rows.schedule(rows.end), cond).x0 if lands else x


@functools.partial(jax.jit, static_argnames=("denoise", "solver", "lands", "control"))
def _noisy(key, denoise, solver, span, x, cond, lands, control):
    import lineax

    diffrax = _diffrax()
    rtol, atol, max_steps = control
    span = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), span)
    schedule, length = span.schedule, span.begin - span.end

    # forwards in tau = begin - t, as Brownian paths run
    def drift(tau, x, args):
        t = span.begin - tau
        level = schedule(t)
        predicted = denoise(x, level, cond)
        extra = expand(0.5 * sde.diffusion(schedule.func, t) ** 2 / level.sigma, x)
        return -prediction.velocity(predicted, level) - extra * predicted.eps

    def spread(tau, x, args):
        g = sde.diffusion(schedule.func, span.begin - tau)
        return lineax.DiagonalLinearOperator(jnp.full(x.shape, g, x.dtype))

    # steps near data are as short as t itself
    path = diffrax.VirtualBrownianTree(
        0.0, length, tol=jnp.minimum(1e-3 * length, 0.1 * span.end), key=key,
        shape=jax.ShapeDtypeStruct(x.shape, x.dtype), levy_area=diffrax.SpaceTimeLevyArea,
    )  # fmt: skip
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(spread, path)),
        solver, 0.0, length, dt0=1e-3 * length, y0=x, max_steps=max_steps,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
    )  # fmt: skip
    x = solution.ys[0]
    return denoise(x, schedule(span.end), cond).x0 if lands else x


def ends(schedule, times):
    """Return (begin, end, whether the end is clean data), both ends inside [t_min, t_max]."""
    times = (schedule.t_max, 0.0) if times is None else times
    if len(times) != 2:
        raise ValueError(f"times must be (from, to) for adaptive steps, got {len(times)} of them")
    begin, end = (max(float(t), float(schedule.t_min)) for t in times)
    return begin, end, float(schedule(np.float64(times[1])).sigma) == 0


def initial(key, schedule, shape, x_init, begin):
    if (shape is None) == (x_init is None):
        raise ValueError("give exactly one of shape and x_init")
    return start_of(key, schedule, shape, [begin]) if x_init is None else checks.batch(jnp.asarray(x_init))


def _check_tolerances(rtol, atol):
    if not (rtol > 0 and atol > 0):
        raise ValueError(f"rtol and atol must be positive, got {rtol!r} and {atol!r}")


def _diffrax():
    try:
        import diffrax
    except ImportError as error:
        raise ImportError("adaptive steps need diffrax: pip install diffjax[adaptive]") from error
    return diffrax
