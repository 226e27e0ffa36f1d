"""All metrics of a set of samples at once, and the table that shows them beside real data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffjax.data import Source
from diffjax.evaluation import frechet, neighbours
from diffjax.evaluation.classifier import Classifier
from diffjax.evaluation.extractors import Extractor
from diffjax.evaluation.inception_score import inception_score
from diffjax.evaluation.kid import kernel_distance
from diffjax.evaluation.prdc import prdc
from diffjax.evaluation.wasserstein import sliced_wasserstein

_MOST = 10_000  # examples of either set in precision and the like, whose cost is quadratic


class Judge(NamedTuple):
    """What images are measured against; make it with `judge`.

    Attributes:
      extractor: of the features.
      classifier: of real images, or None.
      train: the images the model saw.
      held_out: the images it did not see.
      features: [N, F] of the reference: all of `train`, or as many of it as `judge` was told.
      floor: Fréchet distance between halves of `features`.
    """

    extractor: Extractor
    classifier: Classifier | None
    train: Source
    held_out: Source
    features: np.ndarray
    floor: float


def judge(
    extractor: Extractor,
    classifier: Classifier | None,
    train: Source,
    held_out: Source,
    rng: np.random.Generator,
    conditional: bool,
    most: int = _MOST,
) -> Judge:
    """Make a Judge: the features of the training images and their floor are computed once.

    Args:
      extractor, classifier, train, held_out: see `Judge`.
      rng: draws the reference and the halves.
      conditional: the classes of the samples are given, in the proportions of `train`, and not drawn.
      most: training images of the reference, drawn where there are more.
    """
    size = min(len(train), most)
    chosen = np.sort(rng.choice(len(train), size, replace=False)) if size < len(train) else slice(None)
    features = extractor.features(train.x[chosen])
    floor = frechet.halves_floor(features, rng, labels=train.label[chosen] if conditional else None)
    return Judge(extractor, classifier, train, held_out, features, floor)


def measure_images(
    images: np.ndarray, asked: np.ndarray | None, judge: Judge, rng: np.random.Generator
) -> dict[str, float]:
    """Measure images by their features, their classes, and the nearest training images.

    Args:
      images: uint8 [N, H, W, C], samples or real.
      asked: int [N] classes they should be of, or None.
      judge: Judge.
      rng: draws subsets.

    Returns:
      A flat dict of numbers; "frechet_ratio" is the distance over its floor.
    """
    features = judge.extractor.features(images)
    size = min(len(images), len(judge.features), _MOST)
    some = lambda rows: rows[rng.choice(len(rows), size, replace=False)]
    kid, kid_std = kernel_distance(features, judge.features, rng)
    measured = {
        **_against(images, features, asked, judge),
        "kid": kid,
        "kid_std": kid_std,
        **prdc(some(judge.features), some(features))._asdict(),
        **measure_copies(images, judge.train, judge.held_out),
    }
    if judge.extractor.probabilities is not None:
        measured["inception_score"] = inception_score(judge.extractor.probabilities(images))
    return measured


def measure_quality(images: np.ndarray, asked: np.ndarray | None, judge: Judge) -> dict[str, float]:
    """Measure what a sweep compares: the Fréchet distance, and the classes asked for where there are any.

    Args:
      images, asked, judge: see `measure_images`.

    Returns:
      The part of `measure_images` that is quick.
    """
    return _against(images, judge.extractor.features(images), asked, judge)


def _against(images, features, asked, judge):
    distance = frechet.frechet_distance(features, judge.features)
    measured = {
        "count": len(images),
        "frechet": distance,
        "frechet_floor": judge.floor,
        "frechet_ratio": distance / judge.floor,
    }
    if asked is None or judge.classifier is None:
        return measured
    return {"class_accuracy": float(np.mean(judge.classifier.predict(images) == asked)), **measured}


def sizes(judge: Judge) -> str:
    """Say against how many training images the distances of a Judge are, and how large the floor's sets."""
    count = len(judge.features)
    return (
        f"Distances are to {count:,} of the {len(judge.train):,} training images; the floor is between "
        f"halves of {count // 2:,} of them. Fréchet distances "
        "fall with the number of images: compare equal numbers."
    )


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


def bound_table(bound: Mapping[str, Any]) -> str:
    """Write the result of `bound.measure_bound` as a Markdown table in bits per dimension."""
    steps = len(bound["terms"])
    rows = (
        ("prior, KL(q(x_T given x_0), p(x_T))", f"{bound['prior']:.5f}"),
        (f"{steps - 1:,} transitions, n = 2..{steps:,}", f"{bound['between']:.3f}"),
        ("decoder, -log p(x_0 given x_1)", f"{bound['decoder']:.3f}"),
        ("bound on -log p(x_0)", f"{bound['bits_per_dim']:.3f} ± {bound['standard_error']:.3f}"),
    )
    title = f"{bound['count']:,} held-out images, variance {bound['variance']}"
    lines = [f"| {title} | bits/dim |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n\nOne draw of noise a step and image; ± is the standard error of the mean.\n"


def continuous_bound_table(bound: Mapping[str, Any]) -> str:
    """Write the result of `bound.measure_continuous_bound` as a Markdown table in bits per dimension."""
    steps = f"in {bound['num_steps']:,} steps" if bound["num_steps"] else "in continuous time"
    rows = (
        ("prior, KL(q(z_1 given x), p(z_1))", f"{bound['prior']:.5f}"),
        (f"diffusion, {steps}", f"{bound['diffusion']:.3f}"),
        ("reconstruction, -log p(x given z_0)", f"{bound['reconstruction']:.3f}"),
        ("bound on -log p(x)", f"{bound['bits_per_dim']:.3f} ± {bound['standard_error']:.3f}"),
    )
    lines = [f"| {bound['count']:,} held-out images | bits/dim |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    about = f"{bound['draws']} draws of time and noise an image; ± is the standard error of the mean."
    return "\n".join(lines) + f"\n\n{about}\n"


def likelihood_text(found: Mapping[str, Any]) -> str:
    """Write the result of `likelihood.measure_likelihood` as a sentence."""
    bits = f"{found['bits_per_dim']:.3f} ± {found['standard_error']:.3f}"
    return (
        f"{bits} bits/dim of {found['count']:,} held-out images by the probability-flow ODE, with "
        f"{found['dequantisation']} dequantisation: {found['steps']} Runge-Kutta steps, {found['probes']} "
        "random direction(s) of the divergence an image; ± is the standard error of the mean.\n"
    )


def _cell(value, form):
    return " ".join(form.format(v) for v in value) if isinstance(value, Sequence) else form.format(value)


_ROWS = (
    ("count", "number", "{:,}"),
    ("class_accuracy", "class asked for", "{:.1%}"),
    ("frechet", "Fréchet distance to the training set", "{:.3f}"),
    ("frechet_floor", "… the floor: between halves of the training set", "{:.3f}"),
    ("frechet_ratio", "… ratio", "{:.2f}"),
    ("kid", "kernel distance (KID)", "{:.4f}"),
    ("kid_std", "… standard deviation over subsets", "{:.4f}"),
    ("sliced_wasserstein", "sliced Wasserstein distance to real points", "{:.4f}"),
    ("precision", "precision", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("density", "density", "{:.3f}"),
    ("coverage", "coverage", "{:.3f}"),
    ("inception_score", "inception score of the probabilities", "{:.2f}"),
    ("nearest_median", "distance to the nearest training image, median", "{:.3f}"),
    ("nearest_low", "… 1 % quantile", "{:.3f}"),
    ("copies", "nearer than 99 % of held-out images", "{:.1%}"),
    ("weights", "weights of the components", "{:.3f}"),
    ("weights_off", "… total variation from other real points", "{:.4f}"),
    ("samples_per_second", "samples a second", "{:.1f}"),
    ("network_calls", "network calls a sample (NFE)", "{:,}"),
    ("calls_per_second", "network calls a second, of one image each", "{:,.0f}"),
)
