"""What samples are compared with: real examples of the config's data, and what reads them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.commands.loading import overridden
from diffjax.data import Source
from diffjax.evaluation import captions, classifier, extractors, neighbours
from diffjax.evaluation.evaluator import Evaluator, Reference, Task
from diffjax.evaluation.extractors import Extractor
from diffjax.pixels import to_uint8
from diffjax.systems import seen

_EXTRACTORS = {
    "classifier": classifier.load,
    "inception": extractors.inception,
    "lpips_alexnet": partial(extractors.lpips_trunk, architecture="lpips_alexnet"),
    "lpips_vgg16": partial(extractors.lpips_trunk, architecture="lpips_vgg16"),
}


def extractor(features: str) -> Extractor | classifier.Classifier | None:
    """Return the Extractor, or the Classifier, in a file; None for a classifier yet to be trained.

    Args:
      features: of `config.evaluation`, "classifier" or "<name>:<path>".

    Raises:
      ValueError: for another name, or a file that is none.
    """
    name, _, path = str(features).partition(":")
    if name not in _EXTRACTORS:
        raise ValueError(
            f"evaluation.features must be 'classifier' or '<name>:<path>', the name among "
            f"{', '.join(_EXTRACTORS)}; got {features!r}{systems.nearest(name, _EXTRACTORS)}"
        )
    if not path and name != "classifier":
        raise ValueError(f"evaluation.features={name!r} needs a path to its weights, '{name}:<path>'")
    return _EXTRACTORS[name](path) if path else None


def judge(given: Mapping[str, Any] | None) -> captions.Judge | None:
    """Return what tells captions from pictures, of `evaluation.judge`; None where there is none.

    Args:
      given: a stage, {"workdir": ...} of a run whose system has features of pictures and of texts, or
        {"pretrained": folder} of a published CLIP.
    """
    if given is None:
        return None
    encoder = seen.Encoder(given, None, "evaluation.judge", stage="evaluation.judge")
    return captions.Judge(str(given.get("workdir", given.get("pretrained"))), encoder.image, encoder.text)


def make(
    task: Task,
    config: ConfigDict,
    evaluators: Sequence[Evaluator],
    features: Extractor | classifier.Classifier | None,
    conditional: bool,
) -> Reference:
    """Make the Reference of what a system gives.

    Args:
      task: the system, its settings and its data.
      config: of the run.
      evaluators: that it is for: a classifier is trained only if one of them needs it.
      features: of `extractor`, for images.
      conditional: the samples' classes are given, in the proportions of the training set.
    """
    if task.system.gives == "images":
        return _images(task, evaluators, features, conditional)
    if task.system.gives == "points":
        return _points(task, config, conditional)
    return _drawn(task, task.train, task.held_out, conditional, extractors.coordinates())


def _images(task, evaluators, features, conditional):
    train, held_out = _pixels(task.train), _pixels(task.held_out)
    judge = features if isinstance(features, classifier.Classifier) else None
    if judge is not None:
        classifier.check(judge, train)
    if judge is None and train.label is not None and any(each.needs for each in evaluators):
        judge = classifier.fit(train, held_out, seed=task.seed)
    if features is None or features is judge:
        features = None if judge is None else classifier.extractor(judge)
    classify = None if judge is None else judge.predict
    return _drawn(task, train, held_out, conditional, features, classify)


def _drawn(task, train, held_out, conditional, features, classify=None):
    """Return the Reference of all training examples, or of as many of them as the settings say."""
    rng, size = np.random.default_rng(task.seed), min(len(train), task.settings["reference"])
    drawn = size < len(train)
    real = train.take(np.sort(rng.choice(len(train), size, replace=False))) if drawn else train
    return Reference(real, train, held_out, features, classify, conditional, task.seed, rng)


def _points(task, config, conditional):
    """Return the Reference of points: as many fresh ones as there are samples, and others held out."""
    num = task.settings["num_samples"]
    try:
        fresh = systems.load_data(overridden(config, {"data.num_examples": 2 * num}), "test")
    except ValueError:  # a set that is not drawn anew has what it has
        fresh = task.held_out
        fresh = fresh.take(np.random.default_rng(task.seed).permutation(len(fresh)))
    num = max(1, min(num, len(fresh) // 2))
    real, held_out = fresh.take(np.arange(num)), fresh.take(np.arange(min(num, len(fresh) - 1), len(fresh)))
    label = real.label
    classify = None if label is None else lambda x: label[neighbours.nearest(x, real.x)[0]]
    return Reference(real, task.train, held_out, extractors.coordinates(), classify, conditional, task.seed)


def _pixels(source: Source) -> Source:
    """Return images as samples are: of 8 bits."""
    if source.x.dtype == np.uint8:
        return source
    return Source(
        to_uint8(source.x), source.label, source.num_classes, source.name, source.arrays, source.class_names
    )


def conventions(reference: Reference, evaluators: Sequence[Any]) -> str | None:
    """Say how distances are measured, and against how many training images; None where none are."""
    told = "" if reference.extractor is None else reference.extractor.conventions
    if not told or not any("features" in each.needs for each in evaluators):
        return None
    count = len(reference.real)
    return (
        f"{told} Distances are to {count:,} of the {len(reference.train):,} "
        f"training images; the floor is between halves of {count // 2:,} of them. Fréchet distances "
        "fall with the number of images: compare equal numbers."
    )
