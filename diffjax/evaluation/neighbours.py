"""Nearest neighbours: who they are, how far, and whether samples are copies of the training data."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from diffjax.evaluation.evaluator import MOST, Evaluator, Examples, Reference, Row
from diffjax.types import Array, Float, Int, Num

_BLOCK = 512  # queries at a time, so that the distances need little memory
_VALUES = 4_000_000  # numbers of the points that are float64 at a time


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


def memorisation(
    samples: Num[Array, "n *shape"], train: Num[Array, "m *shape"], held_out: Num[Array, "k *shape"]
) -> Memorisation:
    """Compare samples with held-out examples by the distance to their nearest training example.

    Args:
      samples: [N, ...].
      train: [M, ...], what the model was trained on.
      held_out: [K, ...], of the same distribution.

    Returns:
      Memorisation. Distances are L2 over all values of an example; uint8 pixels count in [0, 1].
    """
    return _beside(nearest(samples, train)[1], nearest(held_out, train)[1])


def _beside(own, other):
    low = np.quantile(other, 0.01)
    values = np.median(own), np.quantile(own, 0.01), np.median(other), low, np.mean(own < low)
    return Memorisation(*map(float, values))


def nearest(
    queries: Num[Array, "n *shape"], points: Num[Array, "m *shape"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Find the nearest point of each query; memory is needed for the queries and a block of the points.

    Args:
      queries: [N, ...].
      points: [M, ...], in memory or decoded when they are indexed.

    Returns:
      Indices int [N] into `points`, and L2 distances [N]; uint8 pixels count in [0, 1].
    """
    indices, distances = np.empty(len(queries), int), np.empty(len(queries))
    for start in range(0, len(queries), _BLOCK):
        some = _flat(queries[start : start + _BLOCK])
        indices[start : start + _BLOCK] = found = _nearest(some, points)
        # From the difference: the blocks' distances lose their last digits where two rows are nearly equal.
        distances[start : start + _BLOCK] = np.linalg.norm(some - _flat(points[found]), axis=1)
    return indices, distances


def _nearest(queries, points):
    """Return the index int [N] of the point nearest to each query, float64 [N, F]."""
    size = max(1, _VALUES // queries.shape[1])
    least, indices = np.full(len(queries), np.inf), np.zeros(len(queries), int)
    for start in range(0, len(points), size):
        squared = next(blocks(queries, _flat(points[start : start + size])))[1]
        found = squared.argmin(axis=1)
        smaller = squared[np.arange(len(queries)), found]
        closer = smaller < least
        least[closer], indices[closer] = smaller[closer], start + found[closer]
    return indices


def radii(points: Float[Array, "n features"], k: int) -> Float[np.ndarray, " n"]:
    """Return the distance [N] from each point [N, F] to its k-th nearest among the others."""
    if not 1 <= k < len(points):
        raise ValueError(f"k must be in 1..{len(points) - 1}, one less than there are points; got {k}")
    points = _flat(points)
    parts = []
    for rows, squared in blocks(points, points):
        squared[np.arange(len(squared)), np.arange(len(points))[rows]] = 0  # itself, first in every order
        parts.append(np.partition(squared, k, axis=1)[:, k])
    return np.sqrt(np.concatenate(parts))


def blocks(
    a: Float[Array, "n features"], b: Float[Array, "m features"]
) -> Iterator[tuple[slice, Float[np.ndarray, "block m"]]]:
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


def duplicates(samples: Num[Array, "n *shape"], low: float) -> float:
    """Return the fraction of samples whose nearest other sample is nearer than `low`.

    Args:
      samples: [N, ...], N at least 2; uint8 pixels count in [0, 1].
      low: what hardly any two of as many real examples are within, such as `close_together` of them.
    """
    return float(np.mean(radii(samples, 1) < low))


def close_together(real: Num[Array, "n *shape"]) -> float:
    """Return the 1 % quantile of the distance from real examples [N, ...] to the nearest other one."""
    return float(np.quantile(radii(real, 1), 0.01))


def _duplicates(reference: Reference):
    """Compare equal numbers, as neighbours of many are nearer."""

    def some(rows, size):
        if len(rows) == size:
            return np.asarray(rows)
        chosen = np.random.default_rng(reference.seed).choice(len(rows), size, replace=False)
        return np.asarray(rows[np.sort(chosen)])

    low = functools.cache(lambda size: close_together(some(reference.real.x, size)))

    def measure(examples: Examples):
        size = min(len(examples), len(reference.real), MOST)
        return {"duplicates": duplicates(some(examples.x, size), low(size))}

    return measure


def _prepare(reference: Reference):
    train = reference.train.x
    held_out = nearest(reference.held_out.x, train)[1]

    def measure(examples: Examples):
        found = _beside(nearest(examples.x, train)[1], held_out)
        return {"nearest_median": found.median, "nearest_low": found.low, "copies": found.copies}

    return measure


COPIES = Evaluator(
    "copies",
    _prepare,
    (
        Row("nearest_median", "distance to the nearest training image, median", "{:.3f}"),
        Row("nearest_low", "… 1 % quantile", "{:.3f}"),
        Row("copies", "nearer than 99 % of held-out images", "{:.1%}"),
    ),
)
DUPLICATES = Evaluator(
    "duplicates",
    _duplicates,
    (Row("duplicates", "nearer to another sample than 99 % of real examples to each other", "{:.1%}"),),
    least=3,
)
