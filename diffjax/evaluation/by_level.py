"""How good a noisy classifier is at each noise level, beside the Bayes limit where the truth is known.

Guidance at scale 1 is exact only where the classifier is calibrated, so that the error of its confidence
stands beside its accuracy: at full noise nobody can classify, and only saying so is right.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffjax.evaluation import figures, held_out
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.types import Array, Float, Int

_BINS = 15
_NEEDS = {"label", "log_prob"}  # what a measure gives that is read here
_COLUMNS = {
    "accuracy": ("accuracy", "{:.2%}"),
    "bayes_accuracy": ("… Bayes", "{:.2%}"),
    "nll": ("NLL (nats)", "{:.4f}"),
    "bayes_nll": ("… Bayes", "{:.4f}"),
    "calibration_error": ("calibration error", "{:.4f}"),
    "bayes_calibration_error": ("… Bayes", "{:.4f}"),
}


def calibration_error(confidence: Float[Array, " n"], hit: Float[Array, " n"], bins: int = _BINS) -> float:
    """Return the expected calibration error (Guo et al. 2017, eq. 3).

    That is sum_b |B_b| / n |accuracy(B_b) - confidence(B_b)| over equal bins of the confidence in (0, 1]. It
    is biased upwards where examples are few.

    Args:
      confidence: of the class taken, its probability.
      hit: 1 where that class is right, else 0.
      bins: their number.
    """
    place = np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, np.asarray(hit) - np.asarray(confidence), bins)
    return float(np.abs(gap).sum() / len(place))


def scores(log_prob: Float[Array, "n classes"], label: Int[Array, " n"]) -> dict[str, float]:
    """Return accuracy and its standard error, "nll" in nats, and calibration error of log p(y | x) [N, K]."""
    hit = (log_prob.argmax(-1) == label).astype(np.float64)
    return {
        "accuracy": float(hit.mean()),
        "standard_error": float(hit.std() / np.sqrt(len(hit))),
        "nll": float(-np.take_along_axis(log_prob, label[:, None], 1).mean()),
        "calibration_error": calibration_error(np.exp(log_prob.max(-1)), hit),
    }


def of_levels(
    found: Mapping[str, Any], how: Mapping[str, Any], label: Int[Array, " n"]
) -> list[dict[str, float]]:
    """Reduce [N, L, K] of a measure to one dict a level.

    Args:
      found: "log_prob", and "bayes" where the truth is known.
      how: lists [L] that say which levels: "t", "log_snr".
      label: classes.
    """
    log_prob = np.asarray(found["log_prob"], np.float64)
    levels = []
    for i in range(log_prob.shape[1]):
        level = {name: values[i] for name, values in how.items()} | scores(log_prob[:, i], label)
        if "bayes" in found:
            best = scores(np.asarray(found["bayes"][:, i], np.float64), label)
            level |= {f"bayes_{name}": value for name, value in best.items()}
        levels.append(level)
    return levels


def _prepare(task: Task):
    """Return () -> {"by_level": {measure: {"count", "levels"}}}, or None where no measure tells of levels."""
    if task.held_out.label is None:
        return None
    return held_out.of_those_that_give(task, _NEEDS, "by_level", _levels)


def _levels(found, how):
    return {"levels": of_levels(found, how, found["label"])}


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    for name, found in result.get("by_level", {}).items():
        levels = found["levels"]
        columns = {key: about for key, about in _COLUMNS.items() if key in levels[0]}
        yield f"## Classification by noise level, {found['count']:,} held-out examples"
        titles = ("t", "log SNR", *(title for title, _ in columns.values()))
        lines = [f"| {' | '.join(titles)} |", "|" + "---:|" * len(titles)]
        for level in levels:
            snr = "–" if level["log_snr"] is None else f"{level['log_snr']:.2f}"
            cells = [f"{level['t']:.4g}", snr]
            cells += [form.format(level[key]) for key, (_, form) in columns.items()]
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join(lines)
        yield f"![classification by noise level](evaluation/{name}.png)"
        exact = " Bayes is the exact classifier on the same examples." if "bayes_nll" in columns else ""
        yield (
            "One draw of noise an example and level, which training never saw; bars are two standard errors. "
            f"The calibration error is the expected one over {_BINS} bins of the confidence.{exact}"
        )


def _draw(folder: Path, result: Mapping[str, Any]) -> None:
    for name, found in result.get("by_level", {}).items():
        figures.by_level(folder / f"{name}.png", found["levels"])


EVALUATOR = OfData("by_level", _prepare, _pages, _draw)
