"""Exact log likelihoods by the probability-flow ODE.

Along dx/dt = v(x, t), the instantaneous change of variables gives (Song et al. 2021, eq. 39)

    log p_0(x_0) = log p_T(x_T) + int_0^T div v(x_t, t) dt.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.likelihoods.integrators import Integrator, rk4
from diffjax.process import checks, prediction
from diffjax.process.level import Schedule, at_least_float32, sum_of_each
from diffjax.process.prediction import Denoiser
from diffjax.samplers import grids
from diffjax.samplers.solver import Times
from diffjax.samplers.starts import MOST_SIGNAL, carried
from diffjax.samplers.walk import per_sample, upwards
from diffjax.types import Array, Float, Key, Num

_PROBES = {"rademacher": jax.random.rademacher, "gaussian": jax.random.normal}
_FARTHEST = 1e4  # sigma / alpha at which a walk stops short of alpha = 0: the prior's mean is wrong by 1e-4
_CHUNK = 64  # directions of an exact divergence at a time


@checked
def log_likelihood(
    key: Key[Array, "..."] | None,
    denoise: Denoiser,
    schedule: Schedule,
    x: Float[Array, "batch *shape"],
    *,
    cond: Any = None,
    divergence: Literal["exact", "hutchinson"] = "exact",
    probes: int = 1,
    probe: Literal["rademacher", "gaussian"] = "rademacher",
    noise: Num[Array, "..."] | None = None,
    times: Times | None = None,
    integrator: Integrator | None = None,
    prior: Callable[[Array], Array] | None = None,
) -> Float[Array, " batch"]:
    """Return log p(x) in nats of the model's probability-flow ODE.

    It is the density at the first time, p(x_{t_min}): clean data to within that little noise. The prior has
    mean 0 where data of mean m have alpha m: log p is off by up to a few alpha |m| / sigma at t_max, where
    alpha / sigma is 0.007 for `vp_linear` and 0.0125 for `edm`, unless data are centred or `prior` knows it.

    Args:
      key: one key, or `[B]` keys, of the probes; unused (and may be None) without them.
      denoise: Denoiser that treats samples alone (no statistics over the batch).
      schedule: with rates; of a chain, its `.continuous()`.
      x: `[B, ...]`.
      cond: condition handed to the denoiser.
      divergence: "exact", D directions a call of the denoiser for D dimensions, or "hutchinson", an unbiased
        estimate by `probes` directions that are kept along the way (Grathwohl et al. 2019).
      probes: directions of each sample.
      probe: their law, "rademacher" or "gaussian".
      noise: `[probes, B, ...]` directions to use instead of drawn ones.
      times: grid from the least to the most noisy time, in either direction; default
        `likelihood_grid(256, schedule)`.
      integrator: `integrators.rk4()` (default), `integrators.heun()` or `integrators.adaptive()`.
      prior: x `[B, ...]` -> log density `[B]` at the last time; default N(0, schedule.prior_std^2).

    Returns:
      log p(x) `[B]` in nats; `dequantisation.bits_per_dim` makes bits of it.

    Raises:
      ValueError: for a chain, an empty batch, no probes, noise or a prior of another shape, or times that are
        not strictly monotone or do not reach pure noise without a prior.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> mixture, schedule = exact.gaussian_mixture([1.0], [[0.0]], [1.0]), schedules.vp_linear()
      >>> x, times = jnp.zeros((1, 1)), samplers.likelihood_grid(20, schedule)
      >>> log_p = samplers.log_likelihood(None, mixture.denoiser(), schedule, x, times=times)
      >>> round(float(log_p[0]), 3)  # -log(2 pi) / 2
      -0.919
    """
    integrator = rk4() if integrator is None else integrator
    times = likelihood_grid(256, schedule) if times is None else upwards(times)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(
            "times must be a strictly monotone grid of at least 2 numbers, got "
            f"{np.array2string(times, threshold=6)}"
        )
    rows = integrator.plan(schedule, times)
    if prior is None:
        _require_prior(schedule, times[-1])
    x = checks.batch(carried(x))
    if divergence == "hutchinson":
        noise = (
            _directions(key, x, checks.count("probes", probes), probe)
            if noise is None
            else jnp.asarray(noise, x.dtype)
        )
        if noise.shape[1:] != x.shape or not len(noise):
            raise ValueError(f"noise must be [probes, B, ...] for x {list(x.shape)}, got {list(noise.shape)}")
    elif noise is not None:
        raise ValueError("noise is the probes of divergence='hutchinson'; the exact divergence has none")
    return _log_likelihood(denoise, integrator, rows, prior, schedule.prior_std, x, cond, noise)


@checked
def likelihood_grid(n: int, schedule: Schedule) -> np.ndarray:
    """Return n steps equal in log SNR from t_min to t_max, or to sigma / alpha = 1e4 where alpha runs to 0.

    Raises:
      ValueError: for a chain, which has no rates.

    Example:
      >>> from diffjax import likelihoods
      >>> from diffjax.process import schedules
      >>> likelihoods.likelihood_grid(2, schedules.edm(1.0, 100.0)).round(6).tolist()
      [1.0, 10.0, 100.0]
    """
    if schedule.num_steps is not None:
        raise ValueError(
            "a likelihood needs d alpha/dt: use a continuous schedule, or the chain's .continuous()"
        )
    last = schedule.t_max
    if schedule(last).alpha * _FARTHEST < 1:
        last = schedule.inv_sigma(np.float64(_FARTHEST))
    return grids.log_snr(n, schedule, t_max=float(last))[::-1]


@functools.partial(jax.jit, static_argnames=("denoise", "integrator", "prior"))
def _log_likelihood(denoise, integrator, rows, prior, prior_std, x, cond, noise):
    rows = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), rows)

    def field(level, state):
        velocity = lambda x: prediction.velocity(denoise(x, level, cond), level)
        return _exact(velocity, state[0]) if noise is None else _hutchinson(velocity, state[0], noise)

    x, gained = integrator.run(field, rows, (x, jnp.zeros(x.shape[0], at_least_float32(x))))
    log_prior = _normal(x, prior_std) if prior is None else prior(x)
    if jnp.shape(log_prior) != gained.shape:
        raise ValueError(
            f"prior must give one number for each sample, {list(gained.shape)}; got shape "
            f"{list(jnp.shape(log_prior))}"
        )
    return gained + log_prior


def _exact(velocity, x):
    """Return v and its divergence `[B]`, by the Jacobian's diagonal a chunk of directions at a time."""
    v, push = jax.linearize(velocity, x)
    dim = math.prod(x.shape[1:])

    def diagonal(i):
        direction = jnp.broadcast_to(jax.nn.one_hot(i, dim, dtype=x.dtype).reshape(x.shape[1:]), x.shape)
        return _inner(push(direction), direction)

    every = jnp.arange(dim)
    entries = jax.vmap(diagonal)(every) if dim <= _CHUNK else jax.lax.map(diagonal, every, batch_size=_CHUNK)
    return v, entries.sum(0)


def _hutchinson(velocity, x, noise):
    """Return v and the mean of e^T (dv/dx) e over the probes, `[B]`."""
    v, push = jax.linearize(velocity, x)
    return v, jax.vmap(lambda e: _inner(push(e), e))(noise).mean(0)


def _inner(a, b):
    return sum_of_each(a * b)


def _normal(x, std):
    dim = math.prod(x.shape[1:])
    return -0.5 * _inner(x, x) / std**2 - dim * (0.5 * math.log(2 * math.pi) + jnp.log(std))


def _directions(key, x, probes, probe):
    draw = lambda k: _PROBES[probe](k, (probes, *x.shape[1:]), x.dtype)
    return jnp.moveaxis(jax.vmap(draw)(per_sample(key, x.shape[0])), 1, 0)


def _require_prior(schedule, time):
    last, top = schedule(np.float64(time)), schedule(np.float64(schedule.t_max))
    if abs(last.alpha - top.alpha) > 1e-3 or abs(last.sigma / top.sigma - 1) > 1e-3:
        raise ValueError(
            f"times must end at the noisy end t_max = {schedule.t_max:g}, where the prior is known, got "
            f"{float(time):g}; give prior to end elsewhere"
        )
    if last.alpha > MOST_SIGNAL * last.sigma:
        raise ValueError(
            f"alpha / sigma at the noisy end must be at most {MOST_SIGNAL:g}, where x is pure noise, got "
            f"{last.alpha / last.sigma:.3g}; give prior to end elsewhere"
        )
