"""Sliced Wasserstein distance between two sets of points."""

import numpy as np

from diffjax.evaluation.evaluator import Evaluator, Examples, Reference, Row
from diffjax.rows import drawn
from diffjax.types import Array, Float


def sliced_wasserstein(
    a: Float[Array, "n dims"], b: Float[Array, "n dims"], rng: np.random.Generator, projections: int = 128
) -> float:
    """Average the 2-Wasserstein distance of two sets over directions.

    Args:
      a: [N, D] points.
      b: [N, D] points, as many.
      rng: draws the directions.
      projections: number of orthonormal directions, where they are more than D rounded up to whole bases: so
        a mere shift by `d` measures exactly |d| / sqrt(D).

    Returns:
      sqrt(mean over directions of W_2^2), in units of the points. Equal distributions are not at 0 but at
      a floor that falls like 1 / sqrt(N): measure it between two real sets.

    Raises:
      ValueError: unless both sets have the same shape [N, D].

    Reference:
      Bonneel et al. 2015, Sliced and Radon Wasserstein barycenters of measures.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"sets must have one shape [N, D], got {list(a.shape)} and {list(b.shape)}")
    dimension = a.shape[1]
    wide = min(dimension, projections)
    bases = np.linalg.qr(rng.standard_normal((-(-projections // dimension), dimension, wide)))[0]
    directions = bases.transpose(1, 0, 2).reshape(dimension, -1)
    sorted_a, sorted_b = (np.sort(points @ directions, axis=0) for points in (a, b))
    return float(np.sqrt(np.mean((sorted_a - sorted_b) ** 2)))


def _prepare(reference: Reference):
    real = reference.real.x

    def measure(examples: Examples):
        rng, size = np.random.default_rng(reference.seed), min(len(examples), len(real))
        a, b = (drawn(rows, size, rng) for rows in (examples.x, real))
        return {"sliced_wasserstein": sliced_wasserstein(a, b, rng)}

    return measure


EVALUATOR = Evaluator(
    "sliced_wasserstein",
    _prepare,
    (Row("sliced_wasserstein", "sliced Wasserstein distance to real points", "{:.4f}"),),
    brief=True,
)
