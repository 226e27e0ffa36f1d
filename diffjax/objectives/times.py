"""Times of the training levels.

The functions here return (key, n) -> `[n]` times. What learns while it draws, as `second_moment.sampler`
does, is a `TimeSampler` with a state; `stateless` makes one of a function, so that training knows one thing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import Schedule, evenly
from diffjax.types import Array, Float, Key, Shaped

Draw = Callable[[Key[Array, ""], int], Shaped[Array, "n"]]  # (key, n) -> times


class TimeSampler(NamedTuple):
    """Times and their importance weights, from a state that sees the losses.

    Attributes:
      init: () -> state, a pytree of arrays.
      draw: (key, state, n) -> times `[n]` and weights `[n]` of their losses, whose expectation is that of
        the unweighted losses at the times that `init`'s state draws.
      update: (state, times `[n]`, losses `[n]`, unweighted) -> state.
    """

    init: Callable[[], Any]
    draw: Callable[[Key[Array, ""], Any, int], tuple[Shaped[Array, "n"], Float[Array, "n"]]]
    update: Callable[[Any, Shaped[Array, "n"], Float[Array, "n"]], Any]


@checked
def stateless(times: Draw) -> TimeSampler:
    """Return the TimeSampler of a function (key, n) -> times, with weights 1 and nothing to remember.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> sampler = objectives.stateless(objectives.uniform(schedules.linear_beta(10)))
      >>> t, weights = sampler.draw(jax.random.key(0), sampler.init(), 3)
      >>> t.shape, weights.tolist()
      ((3,), [1.0, 1.0, 1.0])
    """
    return TimeSampler(
        init=lambda: (),
        draw=lambda key, state, n: (times(key, n), jnp.ones(n)),
        update=lambda state, times, losses: state,
    )


@checked
def uniform(schedule: Schedule) -> Draw:
    """Return (key, n) -> n times, uniform over a chain's 1..T or over [t_min, t_max].

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> objectives.uniform(schedules.linear_beta(10))(jax.random.key(0), 3).shape
      (3,)
    """
    return schedule.draw


@checked
def low_discrepancy(schedule: Schedule) -> Draw:
    """Return (key, n) -> n times spread evenly over the schedule from one uniform number u.

    Kingma et al. 2021, app. I.1: (u + i / n) mod 1, i = 0..n - 1. Each time alone is uniform, as in
    `uniform`, but the mean over the batch varies less. On a chain: ceil(T ((u + i / n) mod 1)).

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> sorted(objectives.low_discrepancy(schedules.linear_beta(4))(jax.random.key(0), 4).tolist())
      [1, 2, 3, 4]
    """
    return lambda key, n: schedule.spread(evenly(jax.random.uniform(key), n))


@checked
def uniform_log_snr(schedule: Schedule) -> Draw:
    """Return (key, n) -> n times whose log SNRs are uniform over those of [t_min, t_max].

    Their density is proportional to -d log SNR / dt = g^2 / sigma^2, the importance sampling of Song et al.
    2021b: at these times an unweighted loss of eps is that of `weightings.likelihood` at uniform times, up to
    a constant, without the variance of its weights.

    Raises:
      ValueError: for a chain, or if log SNR is infinite at an end.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> objectives.uniform_log_snr(schedules.vp_linear())(jax.random.key(0), 3).shape
      (3,)
    """
    checks.continuous_time("uniform_log_snr", schedule)
    bottom, top = (float(schedule(end).log_snr) for end in (schedule.t_max, schedule.t_min))
    if not np.isfinite([bottom, top]).all():
        raise ValueError(f"uniform_log_snr needs finite ends of log SNR; got {bottom:g} and {top:g}")

    def times(key, n):
        t = schedule.inv_log_snr(jax.random.uniform(key, (n,), minval=bottom, maxval=top))
        return jnp.clip(t, schedule.t_min, schedule.t_max)

    return times


@checked
def log_normal(mean: float = -1.2, std: float = 1.2) -> Draw:
    """Return (key, n) -> n times t = sigma with log sigma ~ N(mean, std^2) (Karras et al. 2022).

    Raises:
      ValueError: unless mean is finite, and std positive and finite.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> bool((objectives.log_normal()(jax.random.key(0), 3) > 0).all())
      True
    """
    checks.positive("log_normal: std", std)
    return lambda key, n: jnp.exp(mean + std * jax.random.normal(key, (n,)))


@checked
def logit_normal(mean: float = 0.0, std: float = 1.0) -> Draw:
    """Return (key, n) -> n times in (0, 1) with logit t ~ N(mean, std^2) (Esser et al. 2024).

    Raises:
      ValueError: unless mean is finite, and std positive and finite.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> bool((objectives.logit_normal()(jax.random.key(0), 3) < 1).all())
      True
    """
    checks.positive("logit_normal: std", std)
    return lambda key, n: jax.nn.sigmoid(mean + std * jax.random.normal(key, (n,)))
