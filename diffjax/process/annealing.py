"""How to choose the noise levels and the step of annealed Langevin dynamics (Song & Ermon 2020).

Host functions of plain numbers. The levels are `schedules.geometric(sigma_max, sigma_min, num_levels)`, with
gamma the ratio of one level to the next.
"""

import math

import numpy as np


def largest_distance(x, batch=1000):
    """Return the largest Euclidean distance between two examples: technique 1's sigma_max.

    With less noise the modes of the most perturbed data are still apart. It is about 50 on CIFAR-10.

    Args:
      x: `[N, ...]` examples in the units that training sees; a few thousand are enough.
      batch: rows at a time.
    """
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    x = x - x.mean(0)
    square = (x**2).sum(1)
    parts = [x[i : i + batch] for i in range(0, len(x), batch)]
    largest = max(((part**2).sum(1)[:, None] + square - 2 * part @ x.T).max() for part in parts)
    return math.sqrt(max(largest, 0.0))


def overlap(ratio, dim):
    """Return the share of one level's noise that lies where the next one's does (technique 2, prop. 2).

    The radius of N(0, sigma^2 I) is about N(sqrt(D) sigma, sigma^2 / 2) in many dimensions, so this is
    Phi(sqrt(2 D) (gamma - 1) + 3 gamma) - Phi(sqrt(2 D) (gamma - 1) - 3 gamma).

    Args:
      ratio: gamma, at least 1.
      dim: D.
    """
    middle = math.sqrt(2 * dim) * (ratio - 1)
    return _normal_cdf(middle + 3 * ratio) - _normal_cdf(middle - 3 * ratio)


def num_levels(sigma_max, sigma_min, dim, share=0.5):
    """Return the least number of geometric levels whose neighbours overlap by `share` (technique 2).

    At exactly 0.5 CIFAR-10 (50 to 0.01, D = 3072) needs 220; the paper's 232 overlap by 0.57.

    Args:
      sigma_max, sigma_min: the ends.
      dim: D.
      share: in (0, 0.997), what `overlap` is at gamma = 1; the paper's is about 0.5.

    Raises:
      ValueError: if the ends or the share are out of range.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"levels need 0 < sigma_min < sigma_max, got {sigma_min:g} and {sigma_max:g}")
    if not 0 < share < overlap(1.0, dim):
        raise ValueError(f"share must be in (0, {overlap(1.0, dim):.4f}), got {share:g}")
    range_ = math.log(sigma_max / sigma_min)
    low, high = 1, 2  # intervals: too few, enough
    while overlap(math.exp(range_ / high), dim) < share:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = overlap(math.exp(range_ / middle), dim) >= share
        low, high = (low, middle) if enough else (middle, high)
    return (low if overlap(math.exp(range_ / low), dim) >= share else high) + 1


def variance_ratio(step, ratio, num_steps):
    """Return Var[x] / sigma^2 after T Langevin steps at one level, started from the level above (prop. 3).

    For data at a point, where the score is -x / sigma^2, and steps x <- x + step sigma^2 s + sqrt(2 step)
    sigma z: (1 - step)^(2T) (gamma^2 - v) + v with the stationary v = 2 step / (1 - (1 - step)^2).

    Args:
      step: in (0, 2), the size in units of the level's variance, epsilon / sigma_min^2 of the paper.
      ratio: gamma.
      num_steps: T.
    """
    stationary = 2 / (2 - step)
    return (1 - step) ** (2 * num_steps) * (ratio**2 - stationary) + stationary


def step_size(sigma_max, sigma_min, num_levels, num_steps):
    """Return the epsilon whose samples' spread stays closest to the levels' (technique 4).

    It makes `variance_ratio` least, which is above 1 for any step, by golden sections. CIFAR-10's 232 levels
    from 50 to 0.01 with T = 5 give 6.2e-6. Steps are x <- x + e s + sqrt(2 e) z with
    e = epsilon (sigma / sigma_min)^2: Song & Ermon 2019 call half their own epsilon so.

    Args:
      sigma_max, sigma_min, num_levels: of the levels, at least 2.
      num_steps: T of each level.

    Raises:
      ValueError: if the ends or a number are out of range.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"levels need 0 < sigma_min < sigma_max, got {sigma_min:g} and {sigma_max:g}")
    if num_levels < 2 or num_steps < 1:
        raise ValueError(f"num_levels must be >= 2 and num_steps >= 1, got {num_levels} and {num_steps}")
    ratio = math.exp(math.log(sigma_max / sigma_min) / (num_levels - 1))
    # the ratio falls and then rises in the step, at T = 1 up to steps of 1
    low, high, golden = 0.0, 1.0, (math.sqrt(5) - 1) / 2
    for _ in range(80):
        a, b = high - golden * (high - low), low + golden * (high - low)
        if variance_ratio(a, ratio, num_steps) < variance_ratio(b, ratio, num_steps):
            high = b
        else:
            low = a
    return 0.5 * (low + high) * sigma_min**2


def _normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))
