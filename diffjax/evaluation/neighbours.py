"""Nearest neighbours: who they are, how far, and whether samples are copies of the training data."""

from typing import NamedTuple

import numpy as np

_BLOCK = 512  # queries at a time, so that the distances need little memory


class Memorisation(NamedTuple):
    """How near samples come to the training set, beside examples that it does not hold.

    Attributes:
      median: distance of a sample to its nearest training example, median over samples.
      low: the 1 % quantile of that distance.
      held_out_median, held_out_low: the same of the held-out examples.
      copies: fraction of samples nearer than `held_out_low`. Fresh data have 0.01; much more of it says that
        training examples are reproduced.
    """

    median: float
    low: float
    held_out_median: float
    held_out_low: float
    copies: float


def memorisation(samples: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> Memorisation:
    """Compare samples with held-out examples by the distance to their nearest training example.

    Args:
      samples: [N, ...].
      train: [M, ...], what the model was trained on.
      held_out: [K, ...], of the same distribution.

    Returns:
      Memorisation. Distances are L2 over all values of an example; uint8 pixels count in [0, 1].
    """
    own = nearest(samples, train)[1]
    other = nearest(held_out, train)[1]
    low = np.quantile(other, 0.01)
    values = np.median(own), np.quantile(own, 0.01), np.median(other), low, np.mean(own < low)
    return Memorisation(*map(float, values))


def nearest(queries: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest point of each query.

    Args:
      queries: [N, ...].
      points: [M, ...].

    Returns:
      Indices int [N] into `points`, and L2 distances [N]; uint8 pixels count in [0, 1].
    """
    queries, points = _flat(queries), _flat(points)
    indices = np.concatenate([squared.argmin(axis=1) for _, squared in blocks(queries, points)])
    # From the difference: the blocks' distances lose their last digits where two rows are nearly equal.
    return indices, np.linalg.norm(queries - points[indices], axis=1)


def radii(points: np.ndarray, k: int) -> np.ndarray:
    """Return the distance [N] from each point [N, F] to its k-th nearest among the others."""
    if not 1 <= k < len(points):
        raise ValueError(f"k must be in 1..{len(points) - 1}, one less than there are points; got {k}")
    points = _flat(points)
    parts = []
    for rows, squared in blocks(points, points):
        squared[np.arange(len(squared)), np.arange(len(points))[rows]] = 0  # itself, first in every order
        parts.append(np.partition(squared, k, axis=1)[:, k])
    return np.sqrt(np.concatenate(parts))


def blocks(a: np.ndarray, b: np.ndarray):
    """Yield (slice into a, squared distances [block, M]) for float64 a [N, F] and b [M, F]."""
    squares = np.sum(b**2, axis=1)
    for start in range(0, len(a), _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = a[rows]
        yield rows, np.maximum(np.sum(part**2, axis=1)[:, None] + squares - 2 * part @ b.T, 0)


def _flat(x):
    x = np.asarray(x)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    return x.reshape(len(x), -1).astype(np.float64) / scale
