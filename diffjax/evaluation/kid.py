"""Kernel distance between two sets of features, unbiased at any size."""

import numpy as np

from diffjax.evaluation.evaluator import Evaluator, Examples, Reference, Row
from diffjax.types import Array, Float


def kernel_distance(
    a: Float[Array, "n features"],
    b: Float[Array, "m features"],
    rng: np.random.Generator,
    subsets: int = 50,
    size: int | None = None,
) -> tuple[float, float]:
    """Estimate the squared MMD of two distributions over random subsets of their samples.

    Args:
      a: [N, F] features.
      b: [M, F] features.
      rng: draws the subsets, without replacement.
      subsets: number of subsets.
      size: examples of each set in a subset; None is half of the smaller set, at most 1000.

    Returns:
      Mean and standard deviation over the subsets. The mean is 0 on average for equal distributions, so it
      may be negative.

    Raises:
      ValueError: for sets too small for the size, or a size below 2.

    Reference:
      Binkowski et al. 2018 (arXiv:1801.01401), the kernel inception distance. torch-fidelity's defaults
      are subsets=100, size=1000 and this kernel.
    """
    smaller = min(len(a), len(b))
    size = min(1000, smaller // 2) if size is None else size
    if not 2 <= size <= smaller:
        raise ValueError(f"size must be in 2..{smaller}, the smaller set; got {size}")
    values = [
        squared_mmd(a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def squared_mmd(a: Float[Array, "n features"], b: Float[Array, "m features"]) -> float:
    """Estimate the squared MMD with the cubic kernel (x.y / F + 1)^3, without bias.

    Args:
      a: [N, F] features, N at least 2.
      b: [M, F] features, M at least 2.

    Returns:
      The estimate, whose expectation is the MMD of the distributions.

    Reference:
      Gretton et al. 2012, A kernel two-sample test, eq. 3.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets must hold at least 2 rows each, got {len(a)} and {len(b)}")
    return _within(_kernel(a, a)) + _within(_kernel(b, b)) - 2 * float(_kernel(a, b).mean())


def _kernel(a, b):
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(kernel):
    """Average over the pairs of different examples."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _prepare(reference: Reference):
    def measure(examples: Examples):
        rng = np.random.default_rng(reference.seed)
        mean, std = kernel_distance(examples.features, reference.features, rng)
        return {"kid": mean, "kid_std": std}

    return measure


EVALUATOR = Evaluator(
    "kid",
    _prepare,
    (
        Row("kid", "kernel distance (KID)", "{:.4f}"),
        Row("kid_std", "… standard deviation over subsets", "{:.4f}"),
    ),
    needs=("features",),
    least=4,  # two in a subset of half of them
)
