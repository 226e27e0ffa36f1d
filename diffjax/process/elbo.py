"""The variational bound of a chain, term by term (Ho et al. 2020, eq. 5).

-log p(x_0) <= KL(q(x_T|x_0) || p(x_T)) + sum_n KL(q(x_{n-1}|x_n,x_0) || p(x_{n-1}|x_n)) - log p(x_0|x_1)
"""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.process import forward, gaussian
from diffjax.process.level import NoiseLevel

_DECODERS = {
    "discretized": lambda g, x0, cdf: -gaussian.discretized_log_prob(g, x0, cdf),
    "gaussian": lambda g, x0, cdf: -gaussian.log_prob(g, x0),
}


def bits_per_dim(
    key, denoise, schedule, x0, *, variance="fixed_small", cond=None, times=None, noise=None,
    decoder="discretized", cdf="tanh",
):  # fmt: skip
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
      ValueError: for an unknown decoder or variance, or times that do not run from T down to 0.
    """
    if decoder not in _DECODERS:
        raise ValueError(f"decoder must be one of {', '.join(_DECODERS)}; got {decoder!r}")
    times = np.arange(schedule.t_max, -1, -1) if times is None else np.asarray(times)
    if len(times) < 2 or times[0] != schedule.t_max or times[-1] != 0 or (np.diff(times) >= 0).any():
        raise ValueError(f"times must decrease from {schedule.t_max} to 0, got {times[:3]}..{times[-1:]}")
    x0 = jnp.asarray(x0)
    levels = schedule(times[::-1])
    below, above = (
        NoiseLevel(*(f if f is None else f[part] for f in levels)) for part in (slice(-1), slice(1, None))
    )
    pairs = forward.pair(below, above, forward.floor(schedule, times))
    # The decoder's own term is chosen below; a finite posterior keeps its unused KL free of infinities.
    pairs = pairs._replace(log_variance=pairs.log_small)

    def term(_, inputs):
        n, level, pair, recorded = inputs
        eps = (
            jax.random.normal(jax.random.fold_in(key, n), x0.shape, x0.dtype)
            if recorded is None
            else recorded
        )
        x_t = forward.perturb(x0, eps, level)
        prediction = denoise(x_t, level, cond)
        model = forward.reverse_of(pair, prediction, x_t, variance)
        kl = gaussian.kl(forward.posterior_of(pair, x_t, x0), model)
        nats = jnp.where(n == 0, _DECODERS[decoder](model, x0, cdf), kl)
        return None, (
            mean(nats) / np.log(2),
            mean((prediction.x0 - x0) ** 2),
            mean((prediction.eps - eps) ** 2),
        )

    def mean(values):
        return jnp.broadcast_to(values, x0.shape).reshape(len(x0), -1).mean(1)

    cast = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, x0.dtype), tree)
    inputs = (
        jnp.arange(len(times) - 1),
        cast(above),
        cast(pairs),
        None if noise is None else jnp.asarray(noise),
    )
    _, (terms, x0_mse, eps_mse) = jax.lax.scan(term, None, inputs)
    prior = gaussian.Gaussian(jnp.zeros_like(x0), 2 * np.log(schedule.prior_std))
    prior_bits = mean(gaussian.kl(forward.marginal(x0, schedule(times[0])), prior)) / np.log(2)
    return {
        "total": prior_bits + terms.sum(0),
        "prior": prior_bits,
        "terms": terms.T,
        "x0_mse": x0_mse.T,
        "eps_mse": eps_mse.T,
    }
