"""How strong guidance is at each noise level: what may stand in the place of a number."""

from collections.abc import Callable, Sequence

import numpy as np

from diffjax.border import checked
from diffjax.guidance.interval import ends
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, Schedule, namespace
from diffjax.types import ArrayLike

OfLevel = Callable[[NoiseLevel], ArrayLike]


@checked
def linear(schedule: Schedule, first: float, last: float) -> OfLevel:
    """Go straight in time from `first` at the most noise to `last` at the least (Chang et al. 2023, Muse).

    Args:
      schedule, first, last: see `power`.

    Raises:
      ValueError: see `power`.

    Example:
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> weight = guidance.strengths.linear(schedules.log_snr_linear(), 0.0, 3.0)
      >>> [round(float(weight(schedules.log_snr_linear()(t))), 3) for t in (1.0, 0.5, 0.0)]
      [0.0, 1.5, 3.0]
    """
    return power(schedule, first, last)


@checked
def power(schedule: Schedule, first: float, last: float, exponent: float = 1.0) -> OfLevel:
    """Go from `first` at the most noise to `last` at the least: first + (last - first) u^exponent.

    u = (t_max - t) / (t_max - t_min) is how much of the schedule's time is over (Wang et al. 2024).

    Args:
      schedule: whose time it is.
      first, last: strengths where sampling begins and where it ends.
      exponent: positive.

    Raises:
      ValueError: for a number out of range, or a schedule whose time is sigma itself, such as `edm()`.

    Example:
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> weight = guidance.strengths.power(schedules.log_snr_linear(), 0.0, 3.0, 2.0)
      >>> [round(float(weight(schedules.log_snr_linear()(t))), 3) for t in (1.0, 0.5, 0.0)]
      [0.0, 0.75, 3.0]
    """
    checks.positive("exponent", exponent)
    return _over_time(schedule, first, last, lambda u, xp: u**exponent)


@checked
def cosine(schedule: Schedule, first: float, last: float, exponent: float = 1.0) -> OfLevel:
    """Go from `first` to `last` along half a cosine, slowly at both ends: (1 - cos(pi u^exponent)) / 2.

    The exponent 1 is the cosine of Wang et al. 2024, others the power-cosine of Gao et al. 2023 (MDT).

    Args:
      schedule, first, last, exponent: see `power`.

    Raises:
      ValueError: see `power`.

    Example:
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> weight = guidance.strengths.cosine(schedules.log_snr_linear(), 0.0, 3.0)
      >>> [round(float(weight(schedules.log_snr_linear()(t))), 3) for t in (1.0, 0.75, 0.5, 0.0)]
      [0.0, 0.439, 1.5, 3.0]
    """
    checks.positive("exponent", exponent)
    return _over_time(schedule, first, last, lambda u, xp: (1 - xp.cos(np.pi * u**exponent)) / 2)


@checked
def levels(at: Sequence[Sequence[float]]) -> OfLevel:
    """Interpolate between strengths that are said at noise levels, linearly in log(sigma / alpha).

    Beyond the outermost it is theirs. Where two neighbours are 0 of a weight, nothing is guided between them.

    Args:
      at: pairs (sigma / alpha, strength), from little noise to much.

    Raises:
      ValueError: unless these are two pairs or more, of levels above 0 that grow.

    Example:
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> weight = guidance.strengths.levels([(0.1, 0.0), (10.0, 2.0)])
      >>> [round(float(weight(schedules.edm()(sigma))), 3) for sigma in (0.01, 1.0, 20.0)]
      [0.0, 1.0, 2.0]
    """
    pairs = checks.numbers("at", at)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2:
        raise ValueError(f"at must be pairs (sigma / alpha, strength), at least two; got {at!r}")
    ratios, given = pairs.T
    if (ratios <= 0).any() or (np.diff(ratios) <= 0).any():
        raise ValueError(f"at must have levels sigma / alpha above 0 that grow, got {ratios.tolist()}")

    def of(level):
        xp = namespace(level.log_snr)
        return xp.interp(-xp.asarray(level.log_snr) / 2, np.log(ratios), given)

    return of


def _over_time(schedule, first, last, shape) -> OfLevel:
    """Return the strength between two, `shape(u, namespace)` of the way from the first to the last."""
    low, high = ends(schedule)
    for name, value in (("first", first), ("last", last)):
        checks.finite(name, value)
    top = schedule(np.float64(high))
    if schedule.num_steps is None and top.alpha == 1 and top.sigma == high:
        raise ValueError("schedule must have a time of its own, and this one's is sigma: say it by levels")

    def of(level):
        xp = namespace(level.t)
        way = shape(xp.clip((high - xp.asarray(level.t)) / (high - low), 0, 1), xp)
        return (1 - way) * first + way * last  # each exactly at its end

    return of
