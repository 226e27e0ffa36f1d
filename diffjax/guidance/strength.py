"""How strong guidance is: one number, one a sample, or a function of the noise level."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.process import checks
from diffjax.process.level import NoiseLevel, expand
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float

Strength = float | Float[Array, ""] | Float[Array, " batch"] | Callable[[NoiseLevel], Any]


def check(name: str, strength: Any) -> None:
    """Raise ValueError for numbers, known on the host, that are not finite."""
    if not callable(strength):
        checks.finite(name, strength)


def at(name: str, strength: Any, level: NoiseLevel, batch: int) -> Any:
    """Return the strength at a level: in numpy where the host knows it, a scalar or `[B]`.

    Raises:
      ValueError: for another shape, or a function that gives something not finite.
    """
    value = strength
    if callable(strength):
        known = not any(map(is_traced, level))
        # where the host knows the level it knows the strength, also in jnp inside a trace
        with jax.ensure_compile_time_eval() if known else contextlib.nullcontext():
            value = strength(level)
    if not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
        raise ValueError(f"{name} must give a number for a level, got {type(value).__name__}")
    checks.one_each(name, value, batch)
    checks.finite(name, value)
    return value if is_traced(value) else np.asarray(value)


def is_traced(value: Any) -> bool:
    """Return whether the host does not know a value."""
    return isinstance(value, Tracer)


def everywhere(value: Any, number: float) -> Any:
    """Return whether a strength is one number for all samples: a bool, or a traced one."""
    return jnp.all(value == number) if is_traced(value) else bool(np.all(value == number))


def choose(where: Any, yes: Denoiser, no: Denoiser) -> Denoiser:
    """Return the denoiser `yes` where a condition holds, else `no`.

    Of a scalar, only the chosen one runs: in Python where the host knows it, else as a `lax.cond`, so that a
    scan over levels pays for each step what that step asks, whatever solver walks it. Of one condition a
    sample `[B]` that a batch does not share, both run.
    """
    if not is_traced(where):
        where = np.asarray(where)
        if where.all() or not where.any():
            return yes if where.all() else no

    def chosen(x_t, level, cond=None):
        asked = [_typed(each, x_t, level, cond) for each in (yes, no)]
        if not np.ndim(where):
            return jax.lax.cond(where, *asked)
        both = [each() for each in asked]
        return jax.tree.map(lambda a, b: jnp.where(expand(where, x_t) > 0, a, b), *both)

    return chosen


def _typed(denoise, x_t, level, cond):
    """Return the call as a function of nothing, in the dtype of x_t: branches must agree."""
    return lambda: jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(x_t)), denoise(x_t, level, cond))
