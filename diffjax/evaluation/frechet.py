"""Fréchet distance between the Gaussians of two sets of features."""

import numpy as np

from diffjax.evaluation.evaluator import Evaluator, Examples, Reference, Row
from diffjax.types import Array, Float, Int


def frechet_distance(a: Float[Array, "n features"], b: Float[Array, "m features"]) -> float:
    """Measure how far two sets of features are apart, by mean and covariance alone.

    The estimate is biased upwards, by about c (1/N + 1/M): compare only values of the same N and M.

    Args:
      a: [N, F] features.
      b: [M, F] features.

    Returns:
      d^2 of the Gaussians fitted to them, in squared units of the features, 0 or more.

    Raises:
      ValueError: unless both hold at least two rows of the same width.

    Reference:
      Heusel et al. 2017 (arXiv:1706.08500), eq. 6; covariances divided by N - 1.
    """
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    if mean_a.shape != mean_b.shape:
        raise ValueError(f"features must have the same width, got {len(mean_a)} and {len(mean_b)}")
    return gaussian_distance(mean_a, cov_a, mean_b, cov_b)


def halves_floor(
    features: Float[Array, "n features"],
    rng: np.random.Generator,
    repeats: int = 10,
    labels: Int[Array, " n"] | None = None,
) -> float:
    """Measure the distance that mere sampling makes: between random halves of one set.

    Args:
      features: [N, F] of real examples.
      rng: draws the halves.
      repeats: number of ways to halve the set.
      labels: [N] classes to halve one by one, for samples whose classes were given and not drawn: chance in
        the number of examples of a class moves the distance more than all else.

    Returns:
      The mean distance of N/2 examples from the other N/2. As the bias falls with the size of the sets, as
      many perfect samples as there are real examples lie at about half of it.
    """
    distances = []
    for _ in range(repeats):
        order = rng.permutation(len(features))
        if labels is not None:
            order = order[np.argsort(np.asarray(labels)[order], kind="stable")]
        distances.append(frechet_distance(features[order[0::2]], features[order[1::2]]))
    return float(np.mean(distances))


def moments(features: Float[Array, "n features"]) -> tuple[np.ndarray, np.ndarray]:
    """Take the mean [F] and the unbiased covariance [F, F] of features [N, F], in double precision."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be [N, F] with N >= 2, got shape {list(features.shape)}")
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def gaussian_distance(
    mean_a: Float[Array, " f"],
    cov_a: Float[Array, "f f"],
    mean_b: Float[Array, " f"],
    cov_b: Float[Array, "f f"],
) -> float:
    """Compute |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), the squared 2-Wasserstein distance.

    The trace of the root is the sum of the singular values of A^1/2 B^1/2: no root is taken of an
    eigenvalue that rounding made negative, and singular covariances are as good as any.

    Args:
      mean_a, mean_b: [F].
      cov_a, cov_b: [F, F], symmetric and positive semi-definite.

    Returns:
      The distance, 0 or more.

    Reference:
      Dowson and Landau 1982, The Fréchet distance between multivariate normal distributions.
    """
    overlap = np.linalg.svd(_factor(cov_a).T @ _factor(cov_b), compute_uv=False).sum()
    shift = np.sum(np.square(np.subtract(mean_a, mean_b)))
    return float(max(shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap, 0.0))


def _factor(cov):
    """Return L with L L^T = cov."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0))


def _prepare(reference: Reference):
    labels = reference.real.label if reference.conditional else None
    floor = halves_floor(reference.features, reference.rng, labels=labels)

    def measure(examples: Examples):
        distance = frechet_distance(examples.features, reference.features)
        ratio = {"frechet_ratio": distance / floor} if floor > 0 else {}  # halves of equal examples are at 0
        return {"frechet": distance, "frechet_floor": floor, **ratio}

    return measure


EVALUATOR = Evaluator(
    "frechet",
    _prepare,
    (
        Row("frechet", "Fréchet distance to the training set", "{:.3f}"),
        Row("frechet_floor", "… the floor: between halves of the training set", "{:.3f}"),
        Row("frechet_ratio", "… ratio", "{:.2f}"),
    ),
    needs=("features",),
    least=4,  # two in each half
    brief=True,
)
