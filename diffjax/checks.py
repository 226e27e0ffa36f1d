"""Refusals of host numbers that many options share: each names the option and what it was given."""

import math
from typing import Any

import jax
import numpy as np


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a number of steps as int; ValueError unless it is an integer of at least `least`."""
    try:
        whole = not isinstance(value, bool) and int(value) == value and value >= least
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return int(value)


def seed(value: Any) -> None:
    """Raise ValueError for a seed that `jax.random.key` takes for another one, modulo 2^32."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 0 <= value < 2**32:
        raise ValueError(f"seed must be an integer in 0..{2**32 - 1}, got {value!r}")


def positive(name: str, value: Any) -> None:
    """Raise ValueError unless a number is in (0, inf)."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def not_negative(name: str, value: Any) -> None:
    """Raise ValueError unless a number is in [0, inf)."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value!r}")


def interval(name: str, value: Any) -> None:
    """Raise ValueError unless a pair is (lo, hi) with lo < hi."""
    if np.shape(value) != (2,) or not value[0] < value[1]:
        raise ValueError(f"{name} must be (lo, hi) with lo < hi, got {value!r}")


def compiling(what: str) -> None:
    """Refuse JAX's switch for debugging where programs are compiled ahead of time, by a ValueError."""
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            f"JAX_DISABLE_JIT must be off: {what} compiles its programs ahead; what they are made of "
            "(samplers, losses, a system's gradients) runs with it"
        )
