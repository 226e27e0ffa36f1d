"""One look for the studies' figures: the spread is seen, legends stand beside the axes, logs have no bars."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from experiments.report import Results

_SMALL = 8  # of legends and notes
SPREAD = "Bars: ± one standard deviation over the seeds"
SEEDS = "Large: mean over the seeds; strokes: each of them"
THRESHOLDS = {  # what keeps a guided x_0 in range
    "none": "x_0 as it is",
    "static": "x_0 cut to [-1, 1] (static)",
    "dynamic": "x_0 over its percentile (dynamic)",
}


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of some inches and its axes [rows, columns]; options are of `Figure.subplots`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def values(results: Results, arms: Iterable[str], metrics: Iterable[str]) -> np.ndarray:
    """Return [arms * metrics, seeds] numbers: of one arm's metrics, or one metric of several arms."""
    metrics = list(metrics)
    return np.array([[seed[metric] for seed in results[arm]] for arm in arms for metric in metrics])


def curve(axis: Axes, x: Sequence[float], y: np.ndarray, label: str, color: str, **style: Any) -> None:
    """Draw the mean over the seeds of y [len(x), seeds], and its standard deviation as bars."""
    look = {"marker": "o", "markersize": 4, "capsize": 2, "linewidth": 1.3} | style
    axis.errorbar(x, y.mean(1), _sd(y), label=label, color=color, **look)


def dots(axis: Axes, rows: Sequence[float], y: np.ndarray, label: str, color: str, marker: str = "o") -> None:
    """Draw y [len(rows), seeds] along x: the mean over the seeds large, each seed small."""
    every = np.repeat(rows, y.shape[1])
    axis.hlines(rows, y.min(1), y.max(1), color=color, linewidth=1.2)
    axis.plot(y.ravel(), every, linestyle="none", marker="|", markersize=7, color=color)
    axis.plot(y.mean(1), rows, linestyle="none", marker=marker, markersize=6, color=color, label=label)


def level(axis: Axes, y: np.ndarray, label: str, color: str = "k", linestyle: str = ":") -> None:
    """Draw a number that depends on nothing along x, [1, seeds]: its mean a line, its spread a band."""
    mean, sd = y.mean(), float(_sd(y.ravel()))
    axis.axhspan(mean - sd, mean + sd, color=color, alpha=0.08, linewidth=0)
    axis.axhline(mean, color=color, linestyle=linestyle, linewidth=1.2, label=label)


def floor(axis: Axes, y: np.ndarray, of: str) -> None:
    """Draw the best that can be among dots, [1, seeds]: its mean a line."""
    axis.axvline(y.mean(), color="k", linestyle=":", linewidth=1.2, label=f"floor: {of}")


def titled_rows(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of dots, from the top, at the left of axes that share them."""
    axes[0].set_yticks(range(len(titles)), titles)
    axes[0].set_ylim(len(titles) - 0.5, -0.5)
    for axis in axes:
        axis.grid(axis="y", alpha=0.3)


def log(axis: Axes, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """Make an axis logarithmic where ticks are given, with plain numbers at them."""
    for ticks, scale, which in ((x, axis.set_xscale, axis.xaxis), (y, axis.set_yscale, axis.yaxis)):
        if len(ticks):
            scale("log")
            which.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
            which.minorticks_off()


def save(figure: Figure, path: Path, columns: int, note: str | None = None) -> None:
    """Write the PNG with one legend below all axes, each label once, and a note as its title."""
    entries: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in sorted(zip(*axis.get_legend_handles_labels()), key=_after_curves):
            entries.setdefault(label, handle)
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False,
        fontsize=_SMALL, title=note, title_fontsize=_SMALL,
    )  # fmt: skip
    figure.savefig(path, dpi=110)


def _after_curves(entry: tuple[Any, str]) -> bool:
    return not isinstance(entry[0], ErrorbarContainer)


def _sd(y: np.ndarray) -> np.ndarray:
    return y.std(-1, ddof=1)
