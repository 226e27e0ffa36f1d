"""Refusals of host numbers that many options share: each names the option and what it was given."""

import math

import jax.numpy as jnp
import numpy as np


def count(name, value):
    """Return a number of steps as int; ValueError unless it is a positive integer."""
    try:
        whole = not isinstance(value, bool) and int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def positive(name, value):
    """Raise ValueError unless a number is in (0, inf)."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def not_negative(name, value):
    """Raise ValueError unless a number is in [0, inf)."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value!r}")


def interval(name, value):
    """Raise ValueError unless a pair is (lo, hi) with lo < hi."""
    if np.shape(value) != (2,) or not value[0] < value[1]:
        raise ValueError(f"{name} must be (lo, hi) with lo < hi, got {value!r}")


def same_shape(name, value, x):
    """Return a value; ValueError unless it is shaped like x."""
    if jnp.shape(value) != jnp.shape(x):
        raise ValueError(f"{name} must be shaped like x, {list(jnp.shape(x))}; got {list(jnp.shape(value))}")
    return value


def chain(name, schedule):
    """Return a schedule; ValueError unless it is a chain."""
    if schedule.num_steps is None:
        raise ValueError(f"{name} needs a chain, e.g. `schedules.linear_beta`; got {schedule!r}")
    return schedule


def continuous_time(name, schedule):
    """Return a schedule; ValueError for a chain."""
    if schedule.num_steps is not None:
        raise ValueError(f"{name} needs a continuous schedule (a chain's .continuous()), got {schedule!r}")
    return schedule


def batch(x):
    """Return x `[B, ...]`; ValueError if it has no batch axis or no samples."""
    if jnp.ndim(x) == 0 or 0 in jnp.shape(x):
        raise ValueError(f"x must be [B, ...] with at least one sample, got shape {list(jnp.shape(x))}")
    return x
