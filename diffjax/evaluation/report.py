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
    points: np.ndarray, asked: np.ndarray | None, fresh: Source, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure points against twice as many fresh points of the data.

    A point belongs to the component of the fresh point next to it.

    Args:
      points: [N, D] samples.
      asked: int [N] components they should be of, or None.
      fresh: 2 N points; the first half is the reference, the second gives the floors.
      rng: draws directions.

    Returns:
      Sliced Wasserstein distance, its floor and their ratio; for labelled data also the weights of the
      components, and half the sum of what they are off ("weights_off"), with its floor.

    Raises:
      ValueError: unless there are twice as many fresh points.
    """
    n = len(points)
    if len(fresh) != 2 * n:
        raise ValueError(
            f"fresh must hold {2 * n} points, twice as many as there are samples; got {len(fresh)}"
        )
    distance = sliced_wasserstein(points, fresh.x[:n], rng)
    floor = sliced_wasserstein(fresh.x[n:], fresh.x[:n], rng)
    measured = {"count": n, "sliced_wasserstein": distance, "sliced_wasserstein_floor": floor}
    measured["sliced_wasserstein_ratio"] = distance / floor
    if fresh.label is None:
        return measured
    component = fresh.label[neighbours.nearest(points, fresh.x)[0]]
    share = lambda label: np.bincount(label, minlength=fresh.num_classes) / len(label)
    weights, expected = share(component), share(fresh.label)
    halves = share(fresh.label[:n]) - share(fresh.label[n:])
    measured |= {"weights": weights.tolist(), "weights_of_data": expected.tolist()}
    measured |= {
        "weights_off": float(np.abs(weights - expected).sum() / 2),
        "weights_off_floor": float(np.abs(halves).sum() / 2),
    }
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
    ("class_accuracy", "class asked for, by the classifier", "{:.1%}"),
    ("frechet", "Fréchet distance to the training set", "{:.3f}"),
    ("frechet_floor", "… between halves of the training set", "{:.3f}"),
    ("frechet_ratio", "… ratio", "{:.2f}"),
    ("kid", "kernel distance (KID)", "{:.4f}"),
    ("kid_std", "… standard deviation over subsets", "{:.4f}"),
    ("precision", "precision", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("density", "density", "{:.3f}"),
    ("coverage", "coverage", "{:.3f}"),
    ("inception_score", "inception score, by the classifier", "{:.2f}"),
    ("nearest_median", "distance to the nearest training image, median", "{:.3f}"),
    ("nearest_low", "… 1 % quantile", "{:.3f}"),
    ("copies", "nearer than 99 % of held-out images", "{:.1%}"),
    ("sliced_wasserstein", "sliced Wasserstein distance to fresh data", "{:.4f}"),
    ("sliced_wasserstein_floor", "… between two fresh sets", "{:.4f}"),
    ("sliced_wasserstein_ratio", "… ratio", "{:.2f}"),
    ("weights", "weights of the components", "{:.3f}"),
    ("weights_of_data", "… in the data", "{:.3f}"),
    ("weights_off", "… total variation", "{:.4f}"),
    ("weights_off_floor", "… between two fresh sets", "{:.4f}"),
    ("samples_per_second", "samples a second", "{:.1f}"),
    ("network_calls", "network calls a sample", "{:,}"),
)
