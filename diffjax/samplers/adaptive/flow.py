"""The probability-flow ODE to a tolerance, by diffrax."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import prediction
from diffjax.process.level import Schedule, at_least_float32, require_finite_rates
from diffjax.process.prediction import Denoiser
from diffjax.samplers.adaptive.span import Span, check_tolerances, ends, import_diffrax, initial, span
from diffjax.samplers.solver import Times
from diffjax.types import Array, ArrayLike, Float, Key


@checked
def sample_ode(
    key: Key[Array, "..."] | None,
    denoise: Denoiser,
    schedule: Schedule,
    *,
    shape: Sequence[int] | None = None,
    x_init: Float[Array, "batch *shape"] | None = None,
    cond: Any = None,
    times: Times | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    solver: Any = None,
) -> Float[Array, "batch *shape"]:
    """Sample by the probability-flow ODE (Song et al. 2021, eq. 13) with adaptive steps.

    Args:
      key: for the start; see `sample`.
      denoise, schedule, cond: see `sample`; the schedule has rates.
      shape, x_init: exactly one, see `sample`.
      times: (from, to), default (t_max, 0). An end at sigma = 0 stops at t_min and returns the x_0 predicted
        there; from data to noise, (t_min, t_max) encodes.
      rtol, atol: tolerances of a step. 1e-5 is near what float32 carries.
      solver: a diffrax ODE solver, default `diffrax.Tsit5()` of order 5.

    Returns:
      x `[B, ...]`.

    Raises:
      ImportError: without diffrax.
      ValueError: on a chain, unless exactly one of shape and x_init is given, or for a shape without a start
        near the noisy end.

    Example:
      >>> import jax
      >>> from diffjax import exact
      >>> from diffjax.process import schedules
      >>> from diffjax.samplers import adaptive
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0]], [0.1]).denoiser()
      >>> draw = lambda key: adaptive.sample_ode(key, denoise, schedules.vp_linear(), shape=(4, 1))
      >>> jax.eval_shape(draw, jax.random.key(0)).shape  # traced, not run
      (4, 1)
    """
    solver = import_diffrax().Tsit5() if solver is None else solver
    check_tolerances(rtol, atol)
    begin, end, lands = ends(schedule, times)
    path = flow_span(schedule, begin, end)
    x = initial(key, schedule, shape, x_init, begin)
    return _flow(denoise, (rtol, atol, solver, 4096), path, x, cond, lands)


def flow_span(schedule: Schedule, begin: ArrayLike, end: ArrayLike) -> Span:
    """Make the Span of an ODE; ValueError where the rates are missing or infinite."""
    path = span(schedule, begin, end)
    for t in path[1:]:
        require_finite_rates(schedule(t), "an adaptive ODE")
    return path


def integrate(
    field: Callable, path: Span, y: Any, rtol: float, atol: float, solver: Any, max_steps: int
) -> Any:
    """Return y at the end of a Span of dy/dt = field(level, y), for any pytree y."""
    diffrax = import_diffrax()
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: field(path.schedule(t), y)),
        solver, path.begin, path.end, dt0=None, y0=y, max_steps=max_steps,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
    )  # fmt: skip
    return jax.tree.map(lambda a: a[0], solution.ys)


@functools.partial(jax.jit, static_argnames=("denoise", "control", "lands"))
def _flow(denoise, control, path, x, cond, lands):
    path = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), path)
    x = integrate(lambda level, x: prediction.velocity(denoise(x, level, cond), level), path, x, *control)
    return denoise(x, path.schedule(path.end), cond).x0 if lands else x
