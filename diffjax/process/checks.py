"""Refusals that many options share: each names the option and what it was given."""

import jax.numpy as jnp

from diffjax.checks import count as count
from diffjax.checks import interval as interval
from diffjax.checks import not_negative as not_negative
from diffjax.checks import positive as positive


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
        raise ValueError(f"{name} needs a continuous schedule; a chain has .continuous(); got {schedule!r}")
    return schedule


def batch(x):
    """Return x `[B, ...]`; ValueError if it has no batch axis or no samples."""
    if jnp.ndim(x) == 0 or 0 in jnp.shape(x):
        raise ValueError(f"x must be [B, ...] with at least one sample, got shape {list(jnp.shape(x))}")
    return x
