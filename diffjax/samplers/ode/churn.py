"""Churn: a step first goes up to a noisier level (Karras et al. 2022, Alg. 2, lines 4 to 6)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from diffjax.process.level import Array, NoiseLevel, Schedule, expand


class Churn(NamedTuple):
    """x after the churn is scale x + noise z, at `level`; `[N]` each."""

    level: NoiseLevel
    scale: Array
    noise: Array


def check(name: str, s_churn: float, s_min: float, s_max: float, s_noise: float) -> None:
    """Raise ValueError for a negative churn or noise, or s_min > s_max."""
    if not (s_churn >= 0 and s_noise >= 0 and s_min <= s_max):
        raise ValueError(
            f"{name} needs s_churn >= 0, s_noise >= 0 and s_min <= s_max; "
            f"got {s_churn}, {s_noise}, {s_min}, {s_max}"
        )


def churned(
    schedule: Schedule, current: NoiseLevel, s_churn: float, s_min: float, s_max: float, s_noise: float
) -> Churn:
    """Plan the churn of every step.

    sigma / alpha grows by the factor 1 + gamma, gamma = min(s_churn / N, sqrt 2 - 1), where it lies in
    [s_min, s_max]. The new level is the schedule's `at_ratio`; a chain rounds it to a step, and the noise is
    that of the level it has.

    Args:
      schedule: any schedule.
      current: levels `[N]` at which the steps begin, alpha > 0.
      s_churn, s_min, s_max, s_noise: see `edm_heun`.
    """
    if s_churn == 0:
        return Churn(current, np.ones(np.shape(current.sigma)), np.zeros(np.shape(current.sigma)))
    ratio = current.sigma / current.alpha
    gamma = np.where((ratio >= s_min) & (ratio <= s_max), min(s_churn / len(ratio), math.sqrt(2) - 1), 0.0)
    level = schedule.at_ratio(ratio * (1 + gamma))  # the first step's may lie beyond t_max
    level = type(level)(*(_keep(gamma, old, new) for old, new in zip(current, level)))
    gamma = level.sigma / level.alpha / ratio - 1  # as the schedule has it
    noise = level.alpha * ratio * np.sqrt(np.maximum(gamma * (2 + gamma), 0)) * s_noise
    return Churn(level, level.alpha / current.alpha, noise)


def apply(noise: Callable, x: Array, row: Any, s_churn: float) -> Array:
    """Return x after the churn of a row that has its `scale` and `churn`."""
    return expand(row.scale, x) * x + (expand(row.churn, x) * noise(0) if s_churn > 0 else 0)


def _keep(gamma, old, new):
    """Return the churned field where there is churn, else the grid's own, bit for bit."""
    return None if old is None else np.where(gamma > 0, new, old)
