"""Inception score over any classifier's probabilities."""

import numpy as np

from diffjax.evaluation.evaluator import Evaluator, Examples, Reference, Row
from diffjax.types import Array, Float


def inception_score(probabilities: Float[Array, "n classes"]) -> float:
    """Measure whether examples look like one class each and like all classes together.

    The numbers of two classifiers cannot be compared. It sees neither copies of the training data nor what
    varies within a class.

    Args:
      probabilities: [N, K] of a classifier; rows sum to one.

    Returns:
      exp of the mutual information of example and class: 1 (all rows alike) to K.

    Raises:
      ValueError: if rows do not sum to one.

    Reference:
      Salimans et al. 2016 (arXiv:1606.03498), section 4; without splits.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not len(p) or (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError(f"probabilities must be rows [N, K] that sum to one, got shape {list(p.shape)}")
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(p.mean(axis=0))), 0.0)
    return float(np.exp(terms.sum(axis=1).mean()))


def _prepare(reference: Reference):
    def measure(examples: Examples):
        return {"inception_score": inception_score(reference.probabilities_of(examples.x))}

    return measure


EVALUATOR = Evaluator(
    "inception_score",
    _prepare,
    (Row("inception_score", "inception score of the probabilities", "{:.2f}"),),
    needs=("features", "probabilities"),
)
