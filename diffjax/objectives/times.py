"""Times of the training levels: functions (key, n) -> `[n]` times."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.process.checks import positive
from diffjax.process.schedules import Chain


def uniform(schedule):
    """Return (key, n) -> n times, uniform over a chain's 1..T or over [t_min, t_max]."""
    if isinstance(schedule, Chain):
        return lambda key, n: jax.random.randint(key, (n,), 1, schedule.num_steps + 1)
    return lambda key, n: jax.random.uniform(key, (n,), minval=schedule.t_min, maxval=schedule.t_max)


def low_discrepancy(schedule):
    """Return (key, n) -> n times spread evenly over the schedule from one uniform number u.

    Kingma et al. 2021, app. I.1: (u + i / n) mod 1, i = 0..n - 1. Each time alone is uniform, as in
    `uniform`, but the mean over the batch varies less. On a chain: ceil(T ((u + i / n) mod 1)).
    """

    def unit(key, n):
        return (jax.random.uniform(key) + jnp.arange(n) / n) % 1

    if isinstance(schedule, Chain):
        steps = schedule.num_steps
        return lambda key, n: jnp.clip(jnp.ceil(steps * unit(key, n)), 1, steps).astype(int)
    return lambda key, n: schedule.t_min + (schedule.t_max - schedule.t_min) * unit(key, n)


def uniform_log_snr(schedule):
    """Return (key, n) -> n times whose log SNRs are uniform over those of [t_min, t_max].

    Their density is proportional to -d log SNR / dt = g^2 / sigma^2, the importance sampling of Song et al.
    2021b: at these times an unweighted loss of eps is that of `weightings.likelihood` at uniform times, up to
    a constant, without the variance of its weights.

    Raises:
      ValueError: for a chain, or if log SNR is infinite at an end.
    """
    if isinstance(schedule, Chain):
        raise ValueError("uniform_log_snr needs a continuous schedule, and this is a chain")
    bottom, top = (float(schedule(end).log_snr) for end in (schedule.t_max, schedule.t_min))
    if not np.isfinite([bottom, top]).all():
        raise ValueError(f"uniform_log_snr needs finite ends of log SNR; got {bottom:g} and {top:g}")

    def times(key, n):
        t = schedule.inv_log_snr(jax.random.uniform(key, (n,), minval=bottom, maxval=top))
        return jnp.clip(t, schedule.t_min, schedule.t_max)

    return times


def log_normal(mean=-1.2, std=1.2):
    """Return (key, n) -> n times t = sigma with log sigma ~ N(mean, std^2) (Karras et al. 2022).

    Raises:
      ValueError: unless mean is finite, and std positive and finite.
    """
    _check("log_normal", mean, std)
    return lambda key, n: jnp.exp(mean + std * jax.random.normal(key, (n,)))


def logit_normal(mean=0.0, std=1.0):
    """Return (key, n) -> n times in (0, 1) with logit t ~ N(mean, std^2) (Esser et al. 2024).

    Raises:
      ValueError: unless mean is finite, and std positive and finite.
    """
    _check("logit_normal", mean, std)
    return lambda key, n: jax.nn.sigmoid(mean + std * jax.random.normal(key, (n,)))


def _check(name, mean, std):
    if not np.isfinite(mean):
        raise ValueError(f"{name}: mean must be finite, got {mean!r}")
    positive(f"{name}: std", std)
