"""Parameters of the toy Gaussian mixtures, shared by closed forms and by sampled data."""

from typing import NamedTuple

import numpy as np


class Mixture(NamedTuple):
    """A Gaussian mixture in D dimensions, all float64 numpy.

    Attributes:
      weights: `[K]`, positive, sums to one.
      means: `[K, D]`.
      covariances: `[K, D, D]`.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def ring8(radius: float = 1.0, sd: float = 0.1) -> Mixture:
    """Make eight Gaussians on a circle with UNEQUAL weights, so that lost or merged modes show.

    Args:
      radius: of the circle; component k = 0..7 sits at the angle `2 pi k / 8`.
      sd: standard deviation of each component, isotropic.

    Returns:
      A 2-D `Mixture` whose weights are 1/36, 2/36, ..., 8/36.
    """
    angles = 2 * np.pi * np.arange(8) / 8
    means = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return _isotropic(np.arange(1, 9) / 36, means, sd)


def two_modes(distance: float = 5.0, sd: float = 1.0, weights: tuple[float, float] = (0.2, 0.8)) -> Mixture:
    """Make two far Gaussians of unequal mass: plain Langevin dynamics gets the weights wrong here.

    Args:
      distance: the means are `(-distance, 0)` and `(+distance, 0)`.
      sd: standard deviation of both, isotropic.
      weights: of the left and of the right one, positive, summing to one.

    Returns:
      A 2-D `Mixture`.

    Raises:
      ValueError: if the weights are not two such numbers, or `sd` is not positive.

    Reference:
      After Song and Ermon 2019 (arXiv:1907.05600), section 3.2.2, whose modes lie on the diagonal.
    """
    if len(weights) != 2 or min(weights) <= 0 or not np.isclose(sum(weights), 1.0):
        raise ValueError(f"weights must be two positive numbers that sum to one, got {weights}")
    means = np.array([[-distance, 0.0], [distance, 0.0]])
    return _isotropic(np.asarray(weights, np.float64), means, sd)


def grid25(spacing: float = 0.5, sd: float = 0.05) -> Mixture:
    """Make twenty-five equal Gaussians on a 5x5 grid around the origin.

    Args:
      spacing: between neighbours; component `5 i + j` sits at `spacing * (i - 2, j - 2)`.
      sd: standard deviation of each, isotropic.

    Returns:
      A 2-D `Mixture` with weights 1/25.
    """
    ticks = spacing * np.arange(-2.0, 3.0)
    means = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(25, 2)
    return _isotropic(np.full(25, 1 / 25), means, sd)


def _isotropic(weights: np.ndarray, means: np.ndarray, sd: float) -> Mixture:
    if sd <= 0:
        raise ValueError(f"sd must be positive, got {sd}")
    covariances = np.stack([sd**2 * np.eye(means.shape[1])] * len(means))
    return Mixture(weights, means, covariances)
