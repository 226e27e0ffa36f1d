"""Refusals that many options share: each names the option and what it was given.

Kinds and shapes are `border.checked`'s; here are ranges. A traced value cannot be seen, and passes.
"""

from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.checks import count as count
from diffjax.checks import interval as interval
from diffjax.checks import not_negative as not_negative
from diffjax.checks import positive as positive
from diffjax.process.level import Schedule
from diffjax.types import Array, ArrayLike

S = TypeVar("S", bound=Schedule)


def within(name: str, value: ArrayLike, low: float, high: float) -> None:
    """Raise ValueError unless all numbers that the host knows are in [low, high]."""
    if isinstance(value, Tracer):
        return
    values = np.asarray(value)
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {values[bad].flat[0]:g}")


def finite(name: str, value: ArrayLike) -> None:
    """Raise ValueError for NaN or infinite numbers that the host knows."""
    if isinstance(value, Tracer):
        return
    values = np.asarray(value)
    if not (good := np.isfinite(values)).all():
        raise ValueError(f"{name} must be finite, got {value if values.ndim < 2 else values[~good][0]}")


def numbers(name: str, values: Any) -> np.ndarray:
    """Return an array in float64; ValueError unless it holds finite numbers."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, got {values!r}") from None
    finite(name, found)
    return found


def pixels(name: str, x: ArrayLike) -> None:
    """Raise ValueError for host-known values that no 8-bit image scaled to [-1, 1] has: 0..255, or NaN."""
    if isinstance(x, Tracer):
        return
    values = np.asarray(x)  # jnp would trace a constant inside jit
    low, high = values.min(), values.max()
    if not (low >= -1 and high <= 1):
        told = f"got values from {low:g} to {high:g}"
        raise ValueError(f"{name} must be 8-bit images scaled to [-1, 1], {told}")


def sigmas(name: str, sigma_min: float, sigma_max: float) -> None:
    """Raise ValueError unless 0 < sigma_min < sigma_max < inf, the ends of what is named."""
    if not 0 < sigma_min < sigma_max < np.inf:
        raise ValueError(f"{name} needs 0 < sigma_min < sigma_max < inf, got {sigma_min:g} and {sigma_max:g}")


def same_shape(name: str, value: Any, x: ArrayLike, like: str = "x") -> Any:
    """Return a value; ValueError unless it is shaped like x, which `like` names."""
    if jnp.shape(value) != jnp.shape(x):
        wanted, given = list(jnp.shape(x)), list(jnp.shape(value))
        raise ValueError(f"{name} must be shaped like {like}, {wanted}; got {given}")
    return value


def broadcasts(name: str, value: Any, x: ArrayLike, like: str = "x") -> None:
    """Raise ValueError unless a value broadcasts to the shape of x, which `like` names."""
    shape, whole = jnp.shape(value), jnp.shape(x)
    ends = whole[len(whole) - len(shape) :]
    if len(shape) > len(whole) or any(own not in (1, size) for own, size in zip(shape, ends)):
        raise ValueError(f"{name} must broadcast to {like}, {list(whole)}; got shape {list(shape)}")


def one_each(name: str, value: Any, batch: int) -> Any:
    """Return a value; ValueError unless it is a scalar or `[B]`, one for each of B samples."""
    if jnp.shape(value) not in ((), (batch,)):
        given = list(jnp.shape(value))
        raise ValueError(f"{name} must be a scalar or [B], one for each of {batch} samples; got {given}")
    return value


def row_of(name: str, values: Any, n: int) -> Any:
    """Return what a function gave; ValueError unless it is n numbers `[n]`."""
    if jnp.shape(values) != (n,):
        raise ValueError(f"{name} must give [{n}] numbers, got shape {list(jnp.shape(values))}")
    return values


def batch(x: Array) -> Array:
    """Return x `[B, ...]`; ValueError if it has no batch axis or no samples."""
    if jnp.ndim(x) == 0 or 0 in jnp.shape(x):
        raise ValueError(f"x must be [B, ...] with at least one sample, got shape {list(jnp.shape(x))}")
    return x


def chain(name: str, schedule: S) -> S:
    """Return a schedule; ValueError unless it is a chain."""
    if schedule.num_steps is None:
        raise ValueError(f"{name} needs a chain as schedule, e.g. `schedules.linear_beta`; got {schedule!r}")
    return schedule


def continuous_time(name: str, schedule: S) -> S:
    """Return a schedule; ValueError for a chain."""
    if schedule.num_steps is not None:
        raise ValueError(f"{name} needs a continuous schedule; a chain has .continuous(); got {schedule!r}")
    return schedule
