"""What an evaluator of samples is, what it is given, and how it is prepared once and asked often.

Each metric's file holds its mathematics and, beside it, its `EVALUATOR`; `evaluators` lists them.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffjax.data import Source
from diffjax.evaluation.extractors import Extractor
from diffjax.training.system import System, Variables, label_of
from diffjax.types import Array, Float, Int, Shaped

MOST = 10_000  # examples of either set where the cost is quadratic

Metrics = dict[str, Any]  # numbers, or lists of them, by name


class Row(NamedTuple):
    """How a metric is shown.

    Attributes:
      key: of the metric.
      title: in the table.
      form: of a number, e.g. "{:.3f}".
    """

    key: str
    title: str
    form: str


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Real examples that samples are compared with, and what reads them; its features are computed once.

    Attributes:
      real: examples that distances are measured to.
      train: all examples that the model saw.
      held_out: examples that it did not see.
      extractor: of the features, or None.
      classify: examples [N, ...] -> classes int [N], or None.
      conditional: the classes of samples are given, in the proportions of `train`, and not drawn.
      seed: of directions and subsets.
      rng: what is left of the generator that drew `real`, for the halves of the floor.
    """

    real: Source
    train: Source
    held_out: Source
    extractor: Extractor | None = None
    classify: Callable[[np.ndarray], np.ndarray] | None = None
    conditional: bool = False
    seed: int = 0
    rng: np.random.Generator = dataclasses.field(default_factory=lambda: np.random.default_rng(0))

    @functools.cached_property
    def features(self) -> Float[np.ndarray, "real features"]:
        """Features of `real`."""
        return self.features_of(np.asarray(self.real.x))

    def features_of(self, x: Shaped[Array, "count ..."]) -> Float[np.ndarray, "count features"]:
        """Return the features of examples."""
        assert self.extractor is not None  # of evaluators that need "features"
        return self.extractor.features(np.asarray(x))

    def probabilities_of(self, x: Shaped[Array, "count ..."]) -> Float[np.ndarray, "count classes"]:
        """Return the extractor's probabilities of examples."""
        assert self.extractor is not None and self.extractor.probabilities is not None
        return self.extractor.probabilities(np.asarray(x))

    def classes_of(self, x: Shaped[Array, "count ..."]) -> Int[np.ndarray, " count"]:
        """Return the classes that examples are taken for."""
        assert self.classify is not None  # of evaluators that need "classes"
        return self.classify(np.asarray(x))

    def lacks(self, needs: Sequence[str]) -> str | None:
        """Say what there is not of what an evaluator needs, or None."""
        there = {
            "features": self.extractor is not None,
            "probabilities": self.extractor is not None and self.extractor.probabilities is not None,
            "classes": self.classify is not None,
            "components": self.classify is not None and self.real.label is not None,
        }
        return next((_WANTED[need] for need in needs if not there[need]), None)


_WANTED = {
    "features": "labels of the training images, or evaluation.features",
    "probabilities": "an extractor with probabilities (evaluation.features)",
    "classes": "labels of the data",
    "components": "labels of the data",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """What is measured, samples or real; features and classes are computed once, when they are asked for.

    Attributes:
      x: uint8 images [N, H, W, C], or float points or embeddings [N, ...].
      label: classes int [N] that they should be of, or None.
      reference: what they are compared with.
    """

    x: Shaped[Array, "count ..."]
    label: Int[np.ndarray, " count"] | None
    reference: Reference

    def __len__(self) -> int:
        return len(self.x)

    @functools.cached_property
    def features(self) -> Float[np.ndarray, "count features"]:
        """Features of the examples."""
        return self.reference.features_of(self.x)

    @functools.cached_property
    def classes(self) -> Int[np.ndarray, " count"]:
        """Classes that the examples are taken for."""
        return self.reference.classes_of(self.x)


Measure = Callable[[Examples], Metrics]


class Evaluator(NamedTuple):
    """One thing that is measured of samples.

    Attributes:
      name: in `config.evaluation.evaluators`.
      prepare: `Reference -> (Examples -> {metric: number})`: what belongs to the reference is made once.
      rows: of the table, in order.
      needs: of the reference: "features", "probabilities", "classes", "components".
      least: examples without which nothing can be told, of samples and of the reference.
      brief: whether it is measured where settings are compared, e.g. numbers of steps.
    """

    name: str
    prepare: Callable[[Reference], Measure]
    rows: Sequence[Row]
    needs: Sequence[str] = ()
    least: int = 1
    brief: bool = False


class Task(NamedTuple):
    """What an evaluator of data is given.

    Attributes:
      system, variables: what is measured.
      settings: `config.evaluation`, checked.
      train, held_out: the data.
      seed: of the noise.
      progress: whether bars are shown.
      judge: `captions.Judge` of pictures and captions, or None.
      extractor: of features, an `Extractor` or `classifier.Classifier`, or None.
    """

    system: System
    variables: Variables
    settings: Mapping[str, Any]
    train: Source
    held_out: Source
    seed: int = 0
    progress: bool = False
    judge: Any = None
    extractor: Any = None


class OfData(NamedTuple):
    """One thing that is measured of a system on data, and not of its samples.

    Attributes:
      name: in `config.evaluation.evaluators`.
      prepare: `Task -> (() -> {key of the result: what was found})`, or None where there is nothing to do;
        what does not fit is refused here, before the work. A key that begins with "_" is drawn and not kept.
      pages: `result -> Markdown`, page by page, of what is in the result.
      draw: `(folder, result) -> None`, the figures that the pages show.
    """

    name: str
    prepare: Callable[[Task], Callable[[], Metrics] | None]
    pages: Callable[[Mapping[str, Any]], Iterable[str]]
    draw: Callable[[Path, Mapping[str, Any]], None] = lambda folder, result: None


class Measured(NamedTuple):
    """Numbers, and what could not be measured.

    Attributes:
      metrics: {metric: number}.
      left_out: sentences.
    """

    metrics: Metrics
    left_out: tuple[str, ...]


class Bench:
    """Evaluators prepared for one reference."""

    def __init__(self, evaluators: Sequence[Evaluator], reference: Reference):
        """Prepare what can be.

        Args:
          evaluators: in the order of the table.
          reference: what samples are compared with.
        """
        self.evaluators, self.reference = tuple(evaluators), reference
        self._too_few, self._measures = [], []
        for each in evaluators:
            if len(reference.real) < each.least:
                self._too_few.append(_few(each, "real examples to compare with", len(reference.real)))
            else:
                self._measures.append((each, each.prepare(reference)))

    def measure(
        self, x: Shaped[Array, "count ..."], request: Mapping[str, Any], title: str, brief: bool = False
    ) -> Measured:
        """Measure examples.

        Args:
          x: uint8 images [N, H, W, C], or float points or embeddings [N, ...].
          request: what they were asked for, see `label_of`.
          title: of the examples, for what is left out.
          brief: leave out what takes long.

        Returns:
          Measured; "count" is N.
        """
        examples = Examples(x, label_of(request), self.reference)
        metrics, left_out = {"count": len(x)}, list(self._too_few)
        for each, measure in self._measures:
            if brief and not each.brief:
                continue
            if len(x) < each.least:
                left_out.append(_few(each, title, len(x)))
            else:
                metrics |= measure(examples)
        return Measured(metrics, tuple(left_out))


def _few(evaluator, title, count):
    there = f"there {'is' if count == 1 else 'are'} {count}"
    return f"{evaluator.name} needs at least {evaluator.least} examples, {there} ({title})"
