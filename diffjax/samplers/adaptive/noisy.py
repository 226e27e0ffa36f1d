"""The reverse SDE to a tolerance, by diffrax."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import prediction, sde
from diffjax.process.level import Schedule, at_least_float32, expand, require_rates
from diffjax.process.prediction import Denoiser
from diffjax.samplers.adaptive.span import check_tolerances, ends, import_diffrax, initial, span
from diffjax.samplers.solver import Times
from diffjax.types import Array, Float, Key


@checked
def sample_sde(
    key: Key[Array, ""],
    denoise: Denoiser,
    schedule: Schedule,
    *,
    shape: Sequence[int] | None = None,
    x_init: Float[Array, "batch *shape"] | None = None,
    cond: Any = None,
    times: Times | None = None,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    solver: Any = None,
    max_steps: int = 4096,
) -> Float[Array, "batch *shape"]:
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

    Example:
      >>> from diffjax.samplers import adaptive
      >>> adaptive.sample_sde.__name__  # as `sample_ode`, and slower
      'sample_sde'
    """
    solver = import_diffrax().ShARK() if solver is None else solver
    check_tolerances(rtol, atol)
    begin, end, lands = ends(schedule, times)
    first = schedule(np.float64(begin))
    require_rates(first, "an adaptive SDE")
    if begin <= end:
        raise ValueError(
            f"the reverse SDE runs from noise to data: times must decrease, got {begin:g}, {end:g}"
        )
    if first.alpha == 0:
        raise ValueError("the reverse SDE is infinite at alpha = 0; start at a smaller time")
    x = initial(key, schedule, shape, x_init, begin)
    path = span(schedule, begin, end)
    return _noisy(jax.random.fold_in(key, 1), denoise, solver, path, x, cond, lands, (rtol, atol, max_steps))


@functools.partial(jax.jit, static_argnames=("denoise", "solver", "lands", "control"))
def _noisy(key, denoise, solver, path, x, cond, lands, control):
    import lineax  # comes with diffrax

    diffrax = import_diffrax()
    rtol, atol, max_steps = control
    path = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), path)
    schedule, length = path.schedule, path.begin - path.end

    # forwards in tau = begin - t, as Brownian brownians run
    def drift(tau, x, args):
        t = path.begin - tau
        level = schedule(t)
        predicted = denoise(x, level, cond)
        extra = expand(0.5 * sde.diffusion(schedule.func, t) ** 2 / level.sigma, x)
        return -prediction.velocity(predicted, level) - extra * predicted.eps

    def spread(tau, x, args):
        g = sde.diffusion(schedule.func, path.begin - tau)
        return lineax.DiagonalLinearOperator(jnp.full(x.shape, g, x.dtype))

    # steps near data are as short as t itself
    brownian = diffrax.VirtualBrownianTree(
        0.0, length, tol=jnp.minimum(1e-3 * length, 0.1 * path.end), key=key,
        shape=jax.ShapeDtypeStruct(x.shape, x.dtype), levy_area=diffrax.SpaceTimeLevyArea,
    )  # fmt: skip
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(spread, brownian)),
        solver, 0.0, length, dt0=1e-3 * length, y0=x, max_steps=max_steps,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
    )  # fmt: skip
    x = solution.ys[0]
    return denoise(x, schedule(path.end), cond).x0 if lands else x
