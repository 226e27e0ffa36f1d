"""Fidelity and diversity apart: precision, recall, density and coverage."""

from typing import NamedTuple

import numpy as np

from diffjax.evaluation.evaluator import MOST, Evaluator, Examples, Reference, Row
from diffjax.evaluation.neighbours import blocks, radii
from diffjax.rows import drawn
from diffjax.types import Array, Float

_K = 5


class PRDC(NamedTuple):
    """What `prdc` returns, floats.

    Attributes:
      precision: fraction of samples within the real manifold, 0..1.
      recall: fraction of real examples within the samples' manifold, 0..1.
      density: how many real balls hold a sample, over k; about 1 for perfect samples, may exceed it.
      coverage: fraction of real balls that hold a sample, 0..1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Float[Array, "n features"], samples: Float[Array, "m features"], k: int = _K) -> PRDC:
    """Measure how far samples lie within the real set and how much of it they reach.

    A manifold is the union of closed balls, one around each example, through its k-th nearest neighbour. Of
    few examples it is wide, and holds noise too: take as many real ones as there are. Coverage falls with the
    number of samples beside that of the real examples, the others hardly do: see `of_any_sizes`.

    Args:
      real: [N, F] features.
      samples: [M, F] features.
      k: neighbours, 1..min(N, M) - 1.

    Returns:
      PRDC.

    Raises:
      ValueError: if k is out of range.

    Reference:
      Kynkäänniemi et al. 2019 (arXiv:1904.06991), eqs. 1 and 2 (precision, recall);
      Naeem et al. 2020 (arXiv:2002.09797), section 3 (density, coverage).
    """
    real, samples = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    real_radii, sample_radii = radii(real, k), radii(samples, k)
    held = np.zeros(len(samples))  # real balls around each sample
    reached, covered = [], []
    for rows, squared in blocks(real, samples):
        distance = np.sqrt(squared)
        inside = distance <= real_radii[rows, None]
        held += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        reached.append((distance <= sample_radii).any(axis=1))
    recall, coverage = np.concatenate(reached).mean(), np.concatenate(covered).mean()
    return PRDC(*map(float, ((held > 0).mean(), recall, held.mean() / k, coverage)))


def of_any_sizes(
    real: Float[Array, "n features"],
    samples: Float[Array, "m features"],
    rng: np.random.Generator,
    k: int = _K,
) -> PRDC:
    """Measure `prdc` of sets of different sizes: with all examples, but coverage with as many of both.

    Args:
      real, samples, k: see `prdc`; at most `evaluator.MOST` examples of either are used.
      rng: draws subsets.

    Returns:
      PRDC.
    """
    real, samples = (drawn(rows, min(len(rows), MOST), rng) for rows in (real, samples))
    found = prdc(real, samples, k)
    if len(real) == len(samples):
        return found
    size = min(len(real), len(samples))
    return found._replace(coverage=prdc(drawn(real, size, rng), drawn(samples, size, rng), k).coverage)


def _prepare(reference: Reference):
    def measure(examples: Examples):
        rng = np.random.default_rng(reference.seed)
        return of_any_sizes(reference.features, examples.features, rng)._asdict()

    return measure


EVALUATOR = Evaluator(
    "prdc",
    _prepare,
    tuple(Row(name, name, "{:.3f}") for name in PRDC._fields),
    needs=("features",),
    least=_K + 1,
)
