"""Two-dimensional toy sets: every function draws n points, and labels where there are components."""

import numpy as np

from diffjax import toys
from diffjax.types import Float, Integer

Labelled = tuple[Float[np.ndarray, "n d"], Integer[np.ndarray, " n"]]
Unlabelled = tuple[Float[np.ndarray, "n d"], None]


def mixture(parameters: toys.Mixture, rng: np.random.Generator, n: int) -> Labelled:
    """Draw from any Gaussian mixture.

    Args:
      parameters: weights `[K]`, means `[K, D]`, covariances `[K, D, D]`.
      rng: the source of randomness.
      n: number of points.

    Returns:
      Points float32 `[n, D]` and their components int32 `[n]`, 0..K-1.
    """
    weights, means, covariances = parameters
    label = rng.choice(len(weights), size=n, p=weights)
    unit = rng.standard_normal((n, means.shape[1]))
    x = means[label] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[label], unit)
    return x.astype(np.float32), label.astype(np.int32)


def ring8(rng: np.random.Generator, n: int) -> Labelled:
    """Draw from `diffjax.toys.ring8()`: the whole plane, mass near the unit circle; eight labels."""
    return mixture(toys.ring8(), rng, n)


def two_modes(rng: np.random.Generator, n: int) -> Labelled:
    """Draw from `diffjax.toys.two_modes()`: NOT of unit range, as distance is its point; two labels."""
    return mixture(toys.two_modes(), rng, n)


def grid25(rng: np.random.Generator, n: int) -> Labelled:
    """Draw from `diffjax.toys.grid25()`: the whole plane, mass near the grid in [-1, 1]^2; 25 labels."""
    return mixture(toys.grid25(), rng, n)


def checkerboard(rng: np.random.Generator, n: int) -> Unlabelled:
    """Draw uniformly from the eight dark squares of a 4x4 board that fills [-1, 1]^2.

    Column i and row j (0..3 from the lower left, side 1/2) are a dark square where `i + j` is even; the
    squares are closed. Mean 0 and variance 1/3 on each axis.

    Args:
      rng: the source of randomness.
      n: number of points.

    Returns:
      Points float32 `[n, 2]`, and None: there are no labels.
    """
    column = rng.integers(4, size=n)
    row = 2 * rng.integers(2, size=n) + column % 2
    corner = np.stack([column, row], axis=-1)
    return ((corner + rng.random((n, 2))) / 2 - 1).astype(np.float32), None


def moons(rng: np.random.Generator, n: int, noise: float = 0.05) -> Labelled:
    """Draw from two interleaved half circles of radius 2/3, blurred by Gaussian noise.

    Label 0 is the upper half of the circle about (-1/3, -1/6), label 1 the lower half of the one about
    (1/3, 1/6): scikit-learn's `make_moons` moved to the origin and divided by 3/2. Without the noise the
    support lies in [-1, 1] x [-1/2, 1/2].

    Args:
      rng: the source of randomness.
      n: number of points.
      noise: standard deviation on both axes, in the units of the result.

    Returns:
      Points float32 `[n, 2]` and moons int32 `[n]`, 0 or 1, equally likely.
    """
    label = rng.integers(2, size=n)
    angle = np.pi * rng.random(n)
    side = np.where(label == 0, 1.0, -1.0)[:, None]
    arc = side * (2 / 3 * np.stack([np.cos(angle), np.sin(angle)], axis=-1) - np.array([1 / 3, 1 / 6]))
    x = arc + noise * rng.standard_normal((n, 2))
    return x.astype(np.float32), label.astype(np.int32)


def swiss_roll(rng: np.random.Generator, n: int, noise: float = 0.02) -> Unlabelled:
    """Draw from a spiral of one and a half turns, blurred by Gaussian noise.

    The curve is `r (cos a, sin a)` with `a` uniform in [3 pi / 2, 9 pi / 2] and `r = a / (9 pi / 2)`: the
    first and third axes of scikit-learn's `make_swiss_roll`, scaled into the unit disc. Arms are 4/9 apart.

    Args:
      rng: the source of randomness.
      n: number of points.
      noise: standard deviation on both axes, in the units of the result.

    Returns:
      Points float32 `[n, 2]`, and None: there are no labels.
    """
    angle = 1.5 * np.pi * (1 + 2 * rng.random(n))
    curve = (angle / (4.5 * np.pi))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (curve + noise * rng.standard_normal((n, 2))).astype(np.float32), None
