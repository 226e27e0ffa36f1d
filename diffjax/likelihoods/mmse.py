"""Exact log likelihoods from a denoiser's errors alone: the pointwise I-MMSE identity.

For y = alpha x + sigma eps at every log SNR l, and the exact denoiser (Guo et al. 2005; Kong et al. 2023),

    -log p(x) = D/2 log(2 pi e) - 1/2 int [D sigmoid(l) - E|eps - eps_hat(y, l)|^2] dl

for x in D dimensions. It needs neither an ODE nor a divergence, so it checks both.
"""

import functools
import itertools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks, forward
from diffjax.process.level import Schedule, at_least_float32, sum_of_each
from diffjax.process.prediction import Denoiser
from diffjax.samplers.starts import carried
from diffjax.types import Array, Float, Key


@checked
def log_likelihood_mmse(
    key: Key[Array, ""] | None,
    denoise: Denoiser,
    schedule: Schedule,
    x: Float[Array, "batch *shape"],
    *,
    cond: Any = None,
    num_levels: int = 256,
    expectation: Literal["quadrature", "monte_carlo"] = "quadrature",
    nodes: int = 64,
    t_min: float | None = None,
    t_max: float | None = None,
) -> Float[Array, " batch"]:
    """Return log p(x) in nats by integrating the error of the predicted noise over log SNR.

    The trapezoidal rule over `num_levels` equal steps of log SNR, between the schedule's ends: what lies
    beyond is of the order of the last SNR and of the first one's inverse. It is exact for the exact
    denoiser only; another one's errors bound nothing on a single x.

    Args:
      key: for "monte_carlo"; else unused (and may be None).
      denoise: Denoiser.
      schedule: with finite log SNR at both ends used.
      x: `[B, ...]`.
      cond: condition handed to the denoiser, shared by the draws of each sample.
      num_levels: steps of log SNR.
      expectation: over eps, "quadrature" (Gauss-Hermite, nodes^D points: one to three dimensions) or
        "monte_carlo" (`nodes` draws a level).
      nodes: a dimension, or draws a level.
      t_min, t_max: ends, default the schedule's.

    Returns:
      `[B]` nats.

    Raises:
      ValueError: for an empty batch, numbers that are not positive, more than a million points of a
        quadrature, no key where draws are made, or ends out of order or of infinite log SNR.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> mixture, schedule = exact.gaussian_mixture([1.0], [[0.0]], [1.0]), schedules.vp_linear()
      >>> log_p = samplers.log_likelihood_mmse(
      ...     None, mixture.denoiser(), schedule, jnp.zeros((1, 1)), num_levels=64, nodes=16
      ... )
      >>> round(float(log_p[0]), 2)  # -log(2 pi) / 2
      -0.92
    """
    if expectation == "monte_carlo" and key is None:
        raise ValueError("key must be given for expectation='monte_carlo', got None")
    x, num_levels = checks.batch(carried(x)), checks.count("num_levels", num_levels)
    nodes = checks.count("nodes", nodes)
    dim = math.prod(x.shape[1:])
    ends = [schedule.t_min if t_min is None else t_min, schedule.t_max if t_max is None else t_max]
    if not ends[0] < ends[1]:
        raise ValueError(f"t_min must be below t_max, got {ends[0]:g} and {ends[1]:g}")
    first, last = (float(schedule(np.float64(t)).log_snr) for t in ends)
    if not np.isfinite([first, last]).all():
        raise ValueError(
            f"log SNR must be finite at both ends, got {first:g} and {last:g}; give t_min, t_max"
        )
    log_snr = np.linspace(last, first, num_levels + 1)
    spacing = np.full(num_levels + 1, log_snr[1] - log_snr[0])
    spacing[[0, -1]] /= 2
    times = np.clip(schedule.inv_log_snr(log_snr), ends[0], ends[1])
    rows = (schedule(times), spacing)
    if expectation == "quadrature":
        if nodes**dim > 10**6:
            raise ValueError(
                f"a quadrature of {nodes}^{dim} points is too large; take expectation='monte_carlo'"
            )
        eps, weights = _product(nodes, dim)
        grid = (eps.reshape(-1, *x.shape[1:]), weights)
        return _integrate(denoise, rows, x, cond, grid, None, None)
    return _integrate(denoise, rows, x, cond, None, key, nodes)


@functools.partial(jax.jit, static_argnames=("denoise", "draws"))
def _integrate(denoise, rows, x, cond, grid, key, draws):
    dtype = at_least_float32(x)
    rows, grid = jax.tree.map(lambda a: jnp.asarray(a, dtype), (rows, grid))
    dim = math.prod(x.shape[1:])

    def error(eps, level):
        """|eps - eps_hat|^2 of every sample, `[B]`, for eps `[...]` or `[B, ...]`."""
        eps = jnp.broadcast_to(eps, x.shape).astype(x.dtype)
        return sum_of_each((eps - denoise(forward.perturb(x, eps, level), level, cond).eps) ** 2)

    def at_level(total, inputs):
        i, (level, spacing) = inputs
        if draws is None:
            eps, weights = grid
            mean = weights @ jax.lax.map(lambda e: error(e, level), eps, batch_size=min(len(eps), 512))
        else:
            drawn = jax.random.normal(jax.random.fold_in(key, i), (draws, *x.shape), x.dtype)
            mean = jax.vmap(lambda e: error(e, level))(drawn).mean(0)
        return total + spacing * (dim * jax.nn.sigmoid(level.log_snr) - mean), None

    steps = (jnp.arange(len(rows[1])), rows)
    integral = jax.lax.scan(at_level, jnp.zeros(len(x), dtype), steps)[0]
    return 0.5 * integral - 0.5 * dim * math.log(2 * math.pi * math.e)


def _product(nodes, dim):
    """Return the product grid of Gauss-Hermite points `[nodes^dim, dim]` and weights."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    grid = np.array(list(itertools.product(points, repeat=dim)))
    return grid, np.prod(np.array(list(itertools.product(weights, repeat=dim))), axis=1)
