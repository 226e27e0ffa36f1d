"""The denoising loss of every parameterization, and the outer layer that draws noise and levels."""

import jax
import jax.numpy as jnp

from diffjax.process import forward, prediction


def denoising(network, x0, eps, level, cond=None, *, kind="eps", weighting=None, level_s=None, x_t=None):
    """Return the mean squared error of a network's own target: L_simple (Ho et al. 2020, eq. 14).

    Kind "velocity" on `rectified_flow` is flow matching, ||u - (eps - x_0)||^2 (Lipman et al. 2023; Liu et
    al. 2023). Kind "score" is denoising score matching; `weightings.snr` multiplies it by sigma^2 and
    `weightings.likelihood` by g^2 (Song et al. 2021). Where their code sums, it is 0.5 D times this mean.

    Args:
      network: (x_t, t `[B]`, cond) -> output `[B, ..., C or 2C]`; a second half is left alone.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel, scalars or `[B]`.
      cond: condition handed to the network.
      kind: what the network predicts, one of `prediction.KINDS`.
      weighting: level -> weight of ||x_0 - x_0_hat||^2, see `objectives.weightings`, for levels with
        0 < SNR < inf; None leaves the error of the network's own target unweighted.
      level_s: the level of the mean, for kind "mean".
      x_t: `[B, ...]` to show the network instead of alpha x_0 + sigma eps, see `perturbed_input`.

    Returns:
      loss `[B]`, and aux {"x_t", "prediction"}.
    """
    x_t = forward.perturb(x0, eps, level) if x_t is None else x_t
    output = network(x_t, prediction.times(level.t, x_t), cond)
    y, _ = prediction.split_variance(output, x_t)
    error = y - prediction.target(kind, x0, eps, level, level_s)
    loss = jnp.mean(error.reshape(len(x0), -1) ** 2, axis=1)
    if weighting is not None:
        loss = loss * weighting(level) * _x0_error(kind, level, level_s) ** 2
    return loss, {"x_t": x_t, "prediction": prediction.from_output(kind, output, x_t, level, level_s)}


def _x0_error(kind, level, level_s):
    """Return d x_0_hat / dy at fixed x_t, which turns a weight of x_0 into one of the target."""
    p, q, r = prediction.row(kind, level, level_s)
    return level.sigma * r / (level.alpha * q - level.sigma * p)


def perturbed_input(x0, eps, level, xi, gamma=0.1):
    """Return x_t = alpha x_0 + sigma (eps + gamma xi) of DDPM-IP; the network's target keeps eps.

    Ning et al. 2023, Alg. 1: an input that is as far from the truth as a sampler's own errors make it.

    Args:
      x0, eps: `[B, ...]`.
      level: NoiseLevel, scalars or `[B]`.
      xi: `[B, ...]`, unit normal noise, drawn apart from eps.
      gamma: strength; 0 is none, the paper's 0.1.
    """
    return forward.perturb(x0, eps + gamma * xi, level)


def draw(key, x0, schedule, times):
    """Draw the noise and the levels of a batch.

    Args:
      key: consumed.
      x0: `[B, ...]`.
      schedule: any schedule.
      times: (key, n) -> `[n]` times, e.g. `uniform(schedule)`.

    Returns:
      eps `[B, ...]` and a NoiseLevel of `[B]`.
    """
    key_eps, key_t = jax.random.split(key)
    return jax.random.normal(key_eps, x0.shape, x0.dtype), schedule(times(key_t, len(x0)))
