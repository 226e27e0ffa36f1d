"""All metrics of a set of samples at once, and the table that shows them beside real data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffjax.data import Source
from diffjax.evaluation import frechet, neighbours
from diffjax.evaluation.classifier import Classifier
from diffjax.evaluation.inception_score import inception_score
from diffjax.evaluation.kid import kernel_distance
from diffjax.evaluation.prdc import prdc
from diffjax.evaluation.wasserstein import sliced_wasserstein

_MOST = 10_000  # examples of either set in precision and the like, whose cost is quadratic


class Judge(NamedTuple):
    """What images are measured against; make it with `judge`.

    Attributes:
      classifier: of real images.
      train: the images the model saw.
      held_out: the images it did not see.
      features: [N, F] of `train`.
      floor: Fréchet distance between halves of `features`.
    """

    classifier: Classifier
    train: Source
    held_out: Source
    features: np.ndarray
    floor: float


def judge(
    classifier: Classifier, train: Source, held_out: Source, rng: np.random.Generator, conditional: bool
) -> Judge:
    """Make a Judge: the features of the training images and their floor are computed once.

    Args:
      classifier, train, held_out: see `Judge`.
      rng: draws the halves.
      conditional: the classes of the samples are given, in the proportions of `train`, and not drawn.
    """
    features = classifier.features(train.x)
    floor = frechet.halves_floor(features, rng, labels=train.label if conditional else None)
    return Judge(classifier, train, held_out, features, floor)


def measure_images(
    images: np.ndarray, asked: np.ndarray | None, judge: Judge, rng: np.random.Generator
) -> dict[str, float]:
    """Measure images by the classifier's features, its classes, and the nearest training images.

    Args:
      images: uint8 [N, H, W, C], samples or real.
      asked: int [N] classes they should be of, or None.
      judge: Judge.
      rng: draws subsets.

    Returns:
      A flat dict of numbers; "frechet_ratio" is the distance over its floor.
    """
    features = judge.classifier.features(images)
    size = min(len(images), len(judge.features), _MOST)
    some = lambda rows: rows[rng.choice(len(rows), size, replace=False)]
    distance = frechet.frechet_distance(features, judge.features)
    kid, kid_std = kernel_distance(features, judge.features, rng)
    measured = {
        "count": len(images),
        "frechet": distance,
        "frechet_floor": judge.floor,
        "frechet_ratio": distance / judge.floor,
        "kid": kid,
        "kid_std": kid_std,
        **prdc(some(judge.features), some(features))._asdict(),
        "inception_score": inception_score(judge.classifier.probabilities(images)),
        **measure_copies(images, judge.train, judge.held_out),
    }
    if asked is None:
        return measured
    return {"class_accuracy": float(np.mean(judge.classifier.predict(images) == asked)), **measured}


def measure_copies(images: np.ndarray, train: Source, held_out: Source) -> dict[str, float]:
    """Measure the distance to the nearest training images, see `neighbours.memorisation`."""
    found = neighbours.memorisation(images, train.x, held_out.x)
    return {"nearest_median": found.median, "nearest_low": found.low, "copies": found.copies}


def measure_points(
    points: np.ndarray, asked: np.ndarray | None, real: Source, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure points against as many real ones.

    The sliced Wasserstein distance sees where mass is wrong on the whole, density and precision what lies
    between the modes. A point belongs to the component of the real point next to it.

    Args:
      points: [N, D], samples or other real ones.
      asked: int [N] components they should be of, or None.
      real: N points of the data.
      rng: draws directions and subsets.

    Returns:
      A dict of numbers. For data with components also "weights", the share of each component among the
      points, and "weights_off", half the sum of what they are off.
    """
    some = lambda rows: rows[rng.choice(len(rows), min(len(rows), _MOST), replace=False)]
    measured = {
        "count": len(points),
        "sliced_wasserstein": sliced_wasserstein(points, real.x, rng),
        **prdc(some(real.x), some(points))._asdict(),
    }
    if real.label is None:
        return measured
    component = real.label[neighbours.nearest(points, real.x)[0]]
    share = lambda label: np.bincount(label, minlength=real.num_classes) / len(label)
    weights = share(component)
    measured["weights"] = weights.tolist()
    measured["weights_off"] = float(np.abs(weights - share(real.label)).sum() / 2)
    if asked is None:
        return measured
    return {"class_accuracy": float(np.mean(component == asked)), **measured}


def table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Write results as a Markdown table: a row a metric, a column a set.

    Args:
      columns: title -> results of `measure_*`; further keys are left out.

    Returns:
      The table; a metric that no set has is left out, one that some set lacks is a dash there.
    """
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for key, title, form in _ROWS:
        if any(key in results for results in columns.values()):
            cells = [_cell(results[key], form) if key in results else "–" for results in columns.values()]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value, form):
    return " ".join(form.format(v) for v in value) if isinstance(value, Sequence) else form.format(value)


_ROWS = (
    ("count", "number", "{:,}"),
    ("class_accuracy", "class asked for", "{:.1%}"),
    ("frechet", "Fréchet distance to the training set", "{:.3f}"),
    ("frechet_floor", "… between halves of the training set", "{:.3f}"),
    ("frechet_ratio", "… ratio", "{:.2f}"),
    ("kid", "kernel distance (KID)", "{:.4f}"),
    ("kid_std", "… standard deviation over subsets", "{:.4f}"),
    ("sliced_wasserstein", "sliced Wasserstein distance to real points", "{:.4f}"),
    ("precision", "precision", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("density", "density", "{:.3f}"),
    ("coverage", "coverage", "{:.3f}"),
    ("inception_score", "inception score, by the classifier", "{:.2f}"),
    ("nearest_median", "distance to the nearest training image, median", "{:.3f}"),
    ("nearest_low", "… 1 % quantile", "{:.3f}"),
    ("copies", "nearer than 99 % of held-out images", "{:.1%}"),
    ("weights", "weights of the components", "{:.3f}"),
    ("weights_off", "… total variation from other real points", "{:.4f}"),
    ("samples_per_second", "samples a second", "{:.1f}"),
    ("network_calls", "network calls a sample", "{:,}"),
)
