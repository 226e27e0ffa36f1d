"""Curves of a report as PNG: where the bits of the bound go, and quality against the number of steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # without pyplot: no window, no global state


def bound_terms(path: str | Path, bounds: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draw the terms of the bound against n / T, and what they add up to, one curve a model.

    Args:
      path: the PNG; its folder is made.
      bounds: title -> result of `bound.measure_bound`.

    Returns:
      The file's path.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    each, together = figure.subplots(1, 2)
    for title, bound in bounds.items():
        terms = np.asarray(bound["terms"])
        n = np.arange(1, len(terms) + 1)
        each.loglog(n, np.maximum(terms, 1e-12), label=title)
        together.plot(n / len(terms), bound["prior"] + terms[::-1].cumsum()[::-1], label=title)
    each.plot([1], [terms[0]], "o", color="C3", markersize=5, label="decoder, n = 1")
    each.set(xlabel="n", ylabel="bits/dim", title="term of step n")
    together.set(xlabel="n / T", ylabel="bits/dim", ylim=(0, None), title="sum of the terms from n to T")
    return _save(figure, path, (each, together))


def quality(path: str | Path, rows: Sequence[Mapping[str, Any]], floor: float | None) -> Path:
    """Draw the Frechet distance, and the class accuracy where there is one, against network calls.

    Args:
      path: the PNG; its folder is made.
      rows: of the sweep: each with "network_calls", "frechet" and perhaps "class_accuracy".
      floor: of the distance, drawn as a line, or None.

    Returns:
      The file's path.
    """
    conditional = "class_accuracy" in rows[0]
    figure = Figure(figsize=(10 if conditional else 5, 4), layout="constrained")
    axes = figure.subplots(1, 1 + conditional, squeeze=False)[0]
    calls = [row["network_calls"] for row in rows]
    axes[0].loglog(calls, [row["frechet"] for row in rows], "o-", label="samples")
    if floor is not None:
        axes[0].axhline(floor, color="k", linestyle=":", label="floor: between halves of the data")
    axes[0].set(ylabel="Fréchet distance", title="distance to the training set")
    if conditional:
        axes[1].semilogx(calls, [row["class_accuracy"] for row in rows], "o-", label="samples")
        axes[1].set(ylabel="class asked for", title="samples of the class asked for")
    for axis in axes:
        axis.set(xlabel="network calls a sample")
        axis.set_xticks(calls, [f"{call}" for call in calls])
        axis.minorticks_off()
    return _save(figure, path, axes)


def _save(figure, path, axes):
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png", bbox_inches="tight")
    return path
