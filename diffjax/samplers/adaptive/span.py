"""What adaptive walks share: their two ends, what x is at the first, and diffrax."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from diffjax.process import checks
from diffjax.process.level import Schedule
from diffjax.samplers.solver import Times
from diffjax.samplers.starts import carried, start_of
from diffjax.types import Array, ArrayLike, Float, Key


class Span(NamedTuple):
    """Where a walk begins and ends, on a schedule that is asked on device."""

    schedule: Any  # a pytree without leaves: another schedule is another program
    begin: Array
    end: Array


def span(schedule: Schedule, begin: ArrayLike, end: ArrayLike) -> Span:
    """Make a Span of host numbers."""
    return Span(jax.tree_util.Partial(schedule), np.float64(begin), np.float64(end))


def ends(schedule: Schedule, times: Times | None) -> tuple[float, float, bool]:
    """Return (begin, end, whether the end is clean data), both ends inside [t_min, t_max]."""
    pair = np.array([schedule.t_max, 0.0] if times is None else times, np.float64)
    if pair.shape != (2,):
        raise ValueError(f"times must be (from, to) for adaptive steps, got {pair.size} of them")
    begin, end = (max(float(t), float(schedule.t_min)) for t in pair)
    return begin, end, float(schedule(pair[1]).sigma) == 0


def initial(
    key: Key[Array, "..."] | None,
    schedule: Schedule,
    shape: Sequence[int] | None,
    x_init: Float[Array, "batch *shape"] | None,
    begin: float,
) -> Float[Array, "batch *dims"]:
    """Return the start `[B, ...]`: x_init, or noise where the walk begins."""
    if shape is not None and x_init is None:
        return start_of(key, schedule, shape, [begin])
    if shape is None and x_init is not None:
        return checks.batch(carried(x_init))
    raise ValueError("give exactly one of shape and x_init")


def check_tolerances(rtol: float, atol: float) -> None:
    """Raise ValueError unless both are positive."""
    if not (rtol > 0 and atol > 0):
        raise ValueError(f"rtol and atol must be positive, got {rtol!r} and {atol!r}")


def import_diffrax() -> ModuleType:
    """Return diffrax; ImportError that says how to get it."""
    try:
        import diffrax
    except ImportError as error:
        raise ImportError("adaptive steps need diffrax: pip install diffjax[adaptive]") from error
    return diffrax
