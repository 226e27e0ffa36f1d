"""Classes: whether samples are of the one that was asked for, and how often each comes."""

import numpy as np

from diffjax.evaluation.evaluator import Evaluator, Examples, Reference, Row
from diffjax.types import Array, Float, Integer


def shares(classes: Integer[Array, " n"], num_classes: int) -> Float[np.ndarray, " classes"]:
    """Return the share of each class, [num_classes], which sum to 1."""
    return np.bincount(classes, minlength=num_classes) / len(classes)


def total_variation(a: Float[Array, " n"], b: Float[Array, " n"]) -> float:
    """Return half the sum of what two sets of shares differ by, 0 to 1."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).sum() / 2)


def reached(found: Float[Array, " n"], expected: Float[Array, " n"]) -> int:
    """Return how many modes samples reach: those that come a tenth as often as among the data, at least."""
    return int((np.asarray(found) >= 0.1 * np.asarray(expected)).sum())


def _accuracy(reference: Reference):
    def measure(examples: Examples):
        if examples.label is None:
            return {}
        return {"class_accuracy": float(np.mean(examples.classes == examples.label))}

    return measure


def _expected(reference):
    label, num_classes = reference.real.label, reference.real.num_classes
    assert label is not None and num_classes is not None  # it needs "components"
    return shares(label, num_classes), num_classes


def _components(reference: Reference):
    expected, num_classes = _expected(reference)

    def measure(examples: Examples):
        found = shares(examples.classes, num_classes)
        return {"weights": found.tolist(), "weights_off": total_variation(found, expected)}

    return measure


def _modes(reference: Reference):
    expected, num_classes = _expected(reference)
    return lambda examples: {"modes": reached(shares(examples.classes, num_classes), expected)}


ACCURACY = Evaluator(
    "class_accuracy",
    _accuracy,
    (Row("class_accuracy", "class asked for", "{:.1%}"),),
    ("classes",),
    brief=True,
)
COMPONENTS = Evaluator(
    "components",
    _components,
    (
        Row("weights", "weights of the components", "{:.3f}"),
        Row("weights_off", "… total variation from other real points", "{:.4f}"),
    ),
    needs=("components",),
)
MODES = Evaluator(
    "modes",
    _modes,
    (Row("modes", "classes reached, by a tenth of their share", "{:.0f}"),),
    needs=("components",),
)
