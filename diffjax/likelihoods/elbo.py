"""The variational bound of a chain, term by term (Ho et al. 2020, eq. 5).

-log p(x_0) <= KL(q(x_T|x_0) || p(x_T)) + sum_n KL(q(x_{n-1}|x_n,x_0) || p(x_{n-1}|x_n)) - log p(x_0|x_1)
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks, forward, gaussian
from diffjax.process.level import Schedule, mean_of_each, part
from diffjax.process.prediction import Denoiser, Prediction
from diffjax.samplers.solver import Times
from diffjax.types import Array, ArrayLike, Float, Key

Decoder = Literal["discretized", "gaussian"]
Cdf = Literal["tanh", "exact"]

_DECODERS = {
    "discretized": lambda g, x0, cdf: -gaussian.discretized_log_prob(g, x0, cdf),
    "gaussian": lambda g, x0, cdf: -gaussian.log_prob(g, x0),
}


@checked
def bits_per_dim(
    key: Key[Array, ""],
    denoise: Denoiser,
    schedule: Schedule,
    x0: Float[Array, "batch *shape"],
    *,
    variance: forward.Variance = "fixed_small",
    cond: Any = None,
    times: Times | None = None,
    noise: Float[Array, "..."] | None = None,
    decoder: Decoder = "discretized",
    cdf: Cdf = "tanh",
) -> dict[str, Array]:
    """Return the bound on -log2 p(x_0) per dimension, one noise draw for each time.

    Coefficients are made on the host in float64, so float32 loses only what the means lose.

    Args:
      key: for the noise.
      denoise: Denoiser.
      schedule: a chain.
      x0: `[B, ...]`; 8-bit images scaled to [-1, 1] for the discretized decoder.
      variance: of the model's transition, see `forward.reverse`.
      cond: condition handed to the denoiser.
      times: decreasing grid from T to 0, default every step; fewer times make a respaced chain.
      noise: `[T, B, ...]` instead of drawn noise; noise[n - 1] belongs to the n-th time above data.
      decoder: "discretized" (8-bit bins) or "gaussian" (a density, for continuous data).
      cdf: of the discretized decoder, "tanh" or "exact".

    Returns:
      total `[B]`, prior `[B]` and terms `[B, T]` in bits per dimension (column n - 1 is the term of time
      n, the decoder's is column 0), x0_mse and eps_mse `[B, T]`.

    Raises:
      ValueError: for a continuous schedule, times that do not run from T down to 0, noise of another shape,
        or, outside `jit`, values of x0 outside [-1, 1] under the discretized decoder.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import exact
      >>> from diffjax.process import elbo, schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0]], [0.1]).denoiser()
      >>> chain, x0 = schedules.cosine_beta(10), jnp.zeros((2, 1))
      >>> bound = elbo.bits_per_dim(jax.random.key(0), denoise, chain, x0, decoder="gaussian")
      >>> bound["total"].shape, bound["terms"].shape
      ((2,), (2, 10))
    """
    checks.chain("elbo.bits_per_dim", schedule)
    times = np.arange(schedule.t_max, -1, -1) if times is None else np.asarray(times)
    if len(times) < 2 or times[0] != schedule.t_max or times[-1] != 0 or (np.diff(times) >= 0).any():
        given = np.array2string(times, threshold=6)
        raise ValueError(f"times must decrease from {schedule.t_max} to 0, got {given}")
    if len(times) == 2 and variance != "learned":
        raise ValueError(f"variance={variance!r} needs at least 2 steps: the decoder borrows the second's")
    x0, steps = jnp.asarray(x0), len(times) - 1
    if decoder == "discretized":
        checks.pixels("x0", x0)
    if noise is not None:
        noise = jnp.asarray(noise, x0.dtype)
        if noise.shape != (steps, *x0.shape):
            raise ValueError(f"noise must be [T, B, ...] = {[steps, *x0.shape]}, got {list(noise.shape)}")
    levels = schedule(times[::-1])
    below, above = part(levels, slice(-1)), part(levels, slice(1, None))
    pairs = forward.pair(below, above, forward.floor(schedule, times))
    rows = jax.tree.map(lambda a: jnp.asarray(a, x0.dtype), (above, pairs))
    terms, x0_mse, eps_mse = _terms(key, denoise, rows, x0, variance, cond, noise, decoder, cdf)
    standard = gaussian.Gaussian(jnp.zeros_like(x0), 2 * np.log(schedule.prior_std))
    prior = mean_of_each(gaussian.kl(forward.marginal(x0, schedule(times[0])), standard)) / np.log(2)
    terms = terms / np.log(2)
    return {
        "total": prior + terms.sum(0),
        "prior": prior,
        "terms": terms.T,
        "x0_mse": x0_mse.T,
        "eps_mse": eps_mse.T,
    }


def term_of(
    pair: forward.Pair,
    predicted: Prediction,
    x_t: Float[Array, "batch *shape"],
    x0: Float[Array, "batch *shape"],
    at_data: ArrayLike,
    variance: forward.Variance,
    decoder: Decoder = "discretized",
    cdf: Cdf = "tanh",
) -> Float[Array, " batch"]:
    """Return one term of the bound in nats per dimension, `[B]`.

    Args:
      pair: coefficients of the step s < t with its floor, scalars or `[B]`, see `forward.pair`.
      predicted: Prediction at level t.
      x_t, x0: `[B, ...]`.
      at_data: bool, scalar or `[B]`: s is clean data, and the term is the decoder's -log p(x_0 | x_t) instead
        of KL(q(x_s | x_t, x_0) || p(x_s | x_t)).
      variance: of the model's transition, see `forward.reverse`.
      decoder, cdf: see `bits_per_dim`.
    """
    model = forward.reverse_of(pair, predicted, x_t, variance)
    # A finite posterior variance keeps the KL that is not chosen free of infinities, and its gradient too.
    posterior = forward.posterior_of(pair._replace(log_variance=pair.log_small), x_t, x0)
    nats = _DECODERS[decoder](model, x0, cdf), gaussian.kl(posterior, model)
    return jnp.where(at_data, *map(mean_of_each, nats))


@partial(jax.jit, static_argnames=("denoise", "variance", "decoder", "cdf"))
def _terms(key, denoise, rows, x0, variance, cond, noise, decoder, cdf):
    """Return the terms in nats per dimension and the errors of x_0 and eps, `[T, B]`, from data upwards."""

    def term(_, inputs):
        n, (level, pair), eps = inputs
        if noise is None:
            eps = jax.random.normal(jax.random.fold_in(key, n), x0.shape, x0.dtype)
        x_t = forward.perturb(x0, eps, level)
        predicted = denoise(x_t, level, cond)
        nats = term_of(pair, predicted, x_t, x0, n == 0, variance, decoder, cdf)
        return None, (nats, mean_of_each((predicted.x0 - x0) ** 2), mean_of_each((predicted.eps - eps) ** 2))

    return jax.lax.scan(term, None, (jnp.arange(len(rows[0].t)), rows, noise))[1]
