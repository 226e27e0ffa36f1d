"""How to choose the noise levels and the step of annealed Langevin dynamics (Song & Ermon 2020).

Host functions of plain numbers. The levels are `schedules.geometric(sigma_max, sigma_min, num_levels)`, with
gamma the ratio of one level to the next.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.types import ArrayLike


@checked
def largest_distance(x: ArrayLike | Sequence[Any], batch: int = 1000) -> float:
    """Return the largest Euclidean distance between two examples: technique 1's sigma_max.

    With less noise the modes of the most perturbed data are still apart. It is about 50 on CIFAR-10.

    Args:
      x: `[N, ...]` examples in the units that training sees; a few thousand are enough.
      batch: rows at a time.

    Raises:
      ValueError: unless x has at least one example, all finite, and batch is positive.

    Example:
      >>> from diffjax.process import annealing
      >>> annealing.largest_distance([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
      5.0
    """
    checks.count("batch", batch)
    points = checks.batch(checks.numbers("x", x))
    points = points.reshape(len(points), -1)
    points = points - points.mean(0)
    square = (points**2).sum(1)
    parts = [points[i : i + batch] for i in range(0, len(points), batch)]
    largest = max(((part**2).sum(1)[:, None] + square - 2 * part @ points.T).max() for part in parts)
    return math.sqrt(max(largest, 0.0))


@checked
def overlap(ratio: float, dim: int) -> float:
    """Return the share of one level's noise that lies where the next one's does (technique 2, prop. 2).

    The radius of N(0, sigma^2 I) is about N(sqrt(D) sigma, sigma^2 / 2) in many dimensions, so this is
    Phi(sqrt(2 D) (gamma - 1) + 3 gamma) - Phi(sqrt(2 D) (gamma - 1) - 3 gamma).

    Args:
      ratio: gamma, at least 1.
      dim: D.

    Raises:
      ValueError: for a ratio below 1, or dim below 1.

    Example:
      >>> from diffjax.process import annealing
      >>> round(annealing.overlap(1.0, 100), 4)  # three standard deviations to both sides
      0.9973
    """
    _check_ratio(ratio)
    checks.count("dim", dim)
    middle = math.sqrt(2 * dim) * (ratio - 1)
    return _normal_cdf(middle + 3 * ratio) - _normal_cdf(middle - 3 * ratio)


@checked
def level_ratio(dim: int, share: float = 0.5668) -> float:
    """Return the gamma at which `overlap` is `share` (technique 2).

    The paper asks for about 0.5; its five published sets of levels (CIFAR-10, CelebA, two of LSUN, FFHQ) all
    overlap by the default.

    Args:
      dim: D, at least 5: in fewer dimensions all levels overlap.
      share: above 0 and below 0.9973, the overlap of equal levels.

    Raises:
      ValueError: for another share or fewer dimensions.

    Example:
      >>> from diffjax.process import annealing
      >>> ratio = annealing.level_ratio(3072)
      >>> round(ratio, 4), round(annealing.overlap(ratio, 3072), 4)
      (1.0376, 0.5668)
    """
    if dim < 5:
        raise ValueError(f"dim must be at least 5, with fewer all levels overlap; got {dim}")
    if not 0 < share < overlap(1.0, dim):
        raise ValueError(f"share must be above 0 and below {overlap(1.0, dim):.4f}, got {share:g}")
    low, high = 1.0, 2.0
    while overlap(high, dim) > share:
        low, high = high, 2 * high
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if overlap(middle, dim) > share else (low, middle)
    return 0.5 * (low + high)


@checked
def num_levels(sigma_max: float, sigma_min: float, dim: int, share: float = 0.5668) -> int:
    """Return how many geometric levels have about the ratio `level_ratio(dim, share)`, at least 2.

    CIFAR-10 (50 to 0.01, D = 3072) needs 232; a share of exactly 0.5 would give 219.

    Raises:
      ValueError: unless 0 < sigma_min < sigma_max, or for a share out of range.

    Example:
      >>> from diffjax.process import annealing
      >>> annealing.num_levels(50.0, 0.01, dim=3072)
      232
    """
    _check_ends(sigma_max, sigma_min)
    return 1 + max(1, round(math.log(sigma_max / sigma_min) / math.log(level_ratio(dim, share))))


@checked
def variance_ratio(step: ArrayLike, ratio: float, num_steps: int) -> ArrayLike:
    """Return Var[x] / sigma^2 after T Langevin steps at one level, started from the level above (prop. 3).

    For data at a point, where the score is -x / sigma^2, and steps x <- x + step sigma^2 s + sqrt(2 step)
    sigma z: (1 - step)^(2T) (gamma^2 - v) + v with the stationary v = 2 step / (1 - (1 - step)^2).

    Args:
      step: in (0, 2), a number or an array: epsilon / sigma_min^2 of the paper.
      ratio: gamma.
      num_steps: T.

    Raises:
      ValueError: for a number out of range.

    Example:
      >>> from diffjax.process import annealing
      >>> annealing.variance_ratio(0.5, 2.0, 0), round(annealing.variance_ratio(0.5, 2.0, 50), 6)
      (4.0, 1.333333)
    """
    if not ((np.asarray(step) > 0) & (np.asarray(step) < 2)).all():
        raise ValueError(f"step must be in (0, 2), where the walk is stable; got {step!r}")
    _check_ratio(ratio)
    checks.count("num_steps", num_steps, least=0)
    return _variance_ratio(step, ratio, num_steps)


def _variance_ratio(step, ratio, num_steps):
    stationary = 2 / (2 - step)
    return (1 - step) ** (2 * num_steps) * (ratio**2 - stationary) + stationary


@checked
def step_size(sigma_max: float, sigma_min: float, num_levels: int, num_steps: int) -> float:
    """Return the epsilon whose samples' spread stays closest to the levels' (technique 4).

    It makes `variance_ratio` least, which is above 1 for any step, by golden sections. CIFAR-10's 232 levels
    from 50 to 0.01 with T = 5 give 6.2e-6. Steps are x <- x + e s + sqrt(2 e) z with
    e = epsilon (sigma / sigma_min)^2; the epsilon of Song & Ermon 2019, which is `annealed_langevin`'s
    step_size, is twice this one.

    Args:
      sigma_max, sigma_min, num_levels: of the levels.
      num_steps: T of each level.

    Raises:
      ValueError: if the ends or a number are out of range.

    Example:
      >>> from diffjax.process import annealing
      >>> f"{annealing.step_size(50.0, 0.01, num_levels=232, num_steps=5):.1e}"
      '6.2e-06'
    """
    _check_ends(sigma_max, sigma_min)
    if num_levels < 2 or num_steps < 1:
        raise ValueError(f"num_levels must be >= 2 and num_steps >= 1, got {num_levels} and {num_steps}")
    ratio = math.exp(math.log(sigma_max / sigma_min) / (num_levels - 1))
    low, high, golden = 0.0, 1.0, (math.sqrt(5) - 1) / 2
    for _ in range(80):
        a, b = high - golden * (high - low), low + golden * (high - low)
        if _variance_ratio(a, ratio, num_steps) < _variance_ratio(b, ratio, num_steps):
            high = b
        else:
            low = a
    return 0.5 * (low + high) * sigma_min**2


def _check_ends(sigma_max, sigma_min):
    checks.sigmas("a sequence of levels", sigma_min, sigma_max)


def _check_ratio(ratio):
    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1, got {ratio!r}")


def _normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))
