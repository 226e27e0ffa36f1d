"""What x is where a walk begins: the one place that says which levels are noise, and of what scale."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.keys import per_sample
from diffjax.process import forward
from diffjax.process.level import Schedule, at_least_float32
from diffjax.samplers.solver import Times
from diffjax.types import Array, ArrayLike, Float, Key

MOST_SIGNAL = 0.1  # alpha / sigma up to which x is noise, for data of about unit scale
_CLOSE = 1e-6  # by how much a number made in two ways may differ
_START = 0  # fold_in tag of the initial noise; step i uses 1 + i


def signal_left(schedule: Schedule, t: ArrayLike) -> tuple[float, float]:
    """Return (alpha / sigma at t, the most of it at which x counts as noise).

    The most is `MOST_SIGNAL`, but 1 at the noisiest time of a schedule that does not scale the data: its
    sigma_max is in the units of the data, and was chosen with them (NCSN's is 1 and more).
    """
    here, top, bottom = (schedule(np.float64(each)) for each in (t, schedule.t_max, schedule.t_min))
    with np.errstate(divide="ignore"):
        left = float(here.alpha / here.sigma)
    unscaled = abs(top.alpha / bottom.alpha - 1) < _CLOSE
    return left, 1.0 if unscaled and here.sigma > (1 - 1e-3) * top.sigma else MOST_SIGNAL


def noise_scale(schedule: Schedule, t: ArrayLike) -> float:
    """Return the standard deviation of x where it is noise alone.

    Raises:
      ValueError: where data are left in x.
    """
    left, most = signal_left(schedule, t)
    if not left <= most * (1 + _CLOSE):
        raise ValueError(
            f"times must start near the noisy end t_max = {schedule.t_max:g}, where x is pure noise, got "
            f"{float(t):g}; alpha / sigma is {left:.3g} there, of noise at most {most:g}; give x_init to "
            "start elsewhere"
        )
    here, top = (schedule(np.float64(each)).sigma for each in (t, schedule.t_max))
    return float(schedule.prior_std * (here / top))


def start_of(key: Key[Array, "..."], schedule: Schedule, shape: Sequence[int], times: Times) -> Array:
    """Draw the start `[B, ...]` of a grid: noise of the scale that its first time has.

    Args:
      key: one key, or `[B]` keys.
      schedule: any schedule.
      shape: `[B, ...]`.
      times: the grid.

    Raises:
      ValueError: if the grid begins where data are left in x.
    """
    return _drawn(key, shape) * noise_scale(schedule, times[0])


@checked
def start(key: Key[Array, "..."], schedule: Schedule, shape: Sequence[int]) -> Array:
    """Draw N(0, schedule.prior_std^2) noise of shape `[B, ...]` for the noisy end, in JAX's default dtype.

    Example:
      >>> import jax
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> samplers.start(jax.random.key(0), schedules.edm(), (4, 2)).shape
      (4, 2)
    """
    return schedule.prior_std * _drawn(key, shape)


def _drawn(key, shape):
    if not len(shape) or min(shape) < 1:
        raise ValueError(f"shape must be [B, ...] of positive dimensions, got {list(shape)}")
    dtype = jnp.result_type(float)
    draw = lambda k: jax.random.normal(jax.random.fold_in(k, _START), tuple(shape[1:]), dtype)
    return jax.vmap(draw)(per_sample(key, shape[0]))


@checked
def start_from(
    key: Key[Array, "..."], schedule: Schedule, x0: Float[Array, "batch *shape"], t: float
) -> Float[Array, "batch *shape"]:
    """Noise data to time t: where editing starts (Meng et al. 2022, SDEdit).

    Hand the result to `sample` as `x_init`, with times from t down. Sampling then keeps what the noise of
    that level left of x0, and makes up the rest.

    Args:
      key: one key, or `[B]` keys, as in `sample`.
      schedule: any schedule.
      x0: `[B, ...]` data, floating point.
      t: the time, a host number.

    Returns:
      alpha x0 + sigma eps, `[B, ...]`, in float32 at least.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> samplers.start_from(jax.random.key(0), schedules.vp_linear(), jnp.zeros((4, 2)), 0.5).shape
      (4, 2)
    """
    level, x0 = schedule(np.float64(t)), carried(x0)
    keys = per_sample(key, x0.shape[0])
    draw = lambda k: jax.random.normal(jax.random.fold_in(k, _START), x0.shape[1:], x0.dtype)
    return forward.perturb(x0, jax.vmap(draw)(keys), level)


@checked
def times_from(times: Times, strength: float) -> np.ndarray:
    """Return the times that an edit walks: the last `strength` of a grid's steps (Meng et al. 2022, SDEdit).

    Start there by `start_from(key, schedule, x0, times_from(times, strength)[0])`. What costs is the steps
    that are left. At strength 1 the whole grid is walked, and what is kept of x0 is what noise at its first
    time leaves: on most schedules, nothing.

    Args:
      times: N + 1 decreasing host numbers.
      strength: in (0, 1]; round(strength N) steps are left, at least one.

    Raises:
      ValueError: for a strength outside (0, 1], or times that do not decrease.

    Example:
      >>> from diffjax import samplers
      >>> samplers.times_from([1.0, 0.75, 0.5, 0.25, 0.0], strength=0.5).tolist()
      [0.5, 0.25, 0.0]
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be in (0, 1], got {strength:g}")
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) < 0).all():
        raise ValueError("times must be at least 2 numbers that decrease, from noise to data")
    steps = max(1, round(strength * (len(times) - 1)))
    return times[-(steps + 1) :]


def carried(x: Any) -> Array:
    """Return x as walks carry it: in float32 at least, whatever a network computes in."""
    return jnp.asarray(x, at_least_float32(x))
