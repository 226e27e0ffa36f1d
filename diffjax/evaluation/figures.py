"""Curves of a report as PNG: bits of the bound, quality by number of steps, classification by level."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffjax import files


def bound_terms(path: str | Path, bounds: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draw the terms of the bound against the step, and what they add up to, one curve a model.

    Args:
      path: the PNG; its folder is made.
      bounds: title -> result of `bits.measure_bits` for the bound of a chain. Two standard errors over the
        images are a band around each curve of terms.

    Returns:
      The file's path.
    """
    figure = _figure(10, 4)
    each, together = figure.subplots(1, 2)
    for i, (title, bound) in enumerate(bounds.items()):
        terms = np.asarray(bound["terms"])
        n = np.arange(1, len(terms) + 1)
        each.loglog(n, np.maximum(terms, 1e-12), color=f"C{i}", label=title)
        if "terms_error" in bound:
            error = 2 * np.asarray(bound["terms_error"])
            ends = (np.maximum(end, 1e-12) for end in (terms - error, terms + error))
            each.fill_between(n, *ends, color=f"C{i}", alpha=0.25, linewidth=0)
        each.plot([1], [terms[0]], "o", color=f"C{i}", markersize=5)
        together.semilogx(n, bound["prior"] + terms[::-1].cumsum()[::-1], color=f"C{i}")
    each.set(
        xlabel="step n of the chain (dot: n = 1, the decoder)",
        ylabel="bits a dimension",
        title="cost of step n",
    )
    together.set(
        xlabel="n (left: data, right: pure noise)", ylabel="bits a dimension", ylim=(0, None),
        title="steps n to T together, and the prior",
    )  # fmt: skip
    return _save(figure, path, (each, together))


_DISTANCES = {  # of samples: by what name, in what units, and where it is as small as it can be
    "frechet": ("Fréchet distance (squared units of the features)", "between halves of the training set"),
    "sliced_wasserstein": ("sliced Wasserstein distance (units of the points)", "held-out points"),
}


def distance_of(names: Iterable[str]) -> str | None:
    """Return the distance by which samples are compared, of what is measured; None where there is none."""
    return next((each for each in _DISTANCES if each in set(names)), None)


def quality(path: str | Path, rows: Sequence[Mapping[str, Any]], real: Mapping[str, Any]) -> Path:
    """Draw the distance to the training set, and the class accuracy if there is one, against network calls.

    Args:
      path: the PNG; its folder is made.
      rows: of the sweep: each with "network_calls", "count", a distance, "frechet" or "sliced_wasserstein",
        and perhaps "class_accuracy", whose bars are two standard errors of a share of that many samples.
        Those of a "teacher" are a curve of their own.
      real: the same of held-out data; the floor of the distance is drawn as a line.

    Returns:
      The file's path.
    """
    from matplotlib import ticker  # needed here alone, as `Figure` is below

    conditional, distance = "class_accuracy" in rows[0], distance_of(rows[0]) or "frechet"
    units, lowest = _DISTANCES[distance]
    floor = rows[0].get("frechet_floor") if distance == "frechet" else real.get(distance)
    figure = _figure(10 if conditional else 5, 4)
    axes = figure.subplots(1, 1 + conditional, squeeze=False)[0]
    own, taught = ([row for row in rows if ("teacher" in row) == which] for which in (False, True))
    for color, label, some in (("C0", "samples", own), ("C1", "its teacher", taught)):
        some = sorted(some, key=lambda row: row["network_calls"])
        calls = [row["network_calls"] for row in some]
        if some:
            axes[0].loglog(calls, [row[distance] for row in some], "o-", color=color, label=label)
        if some and conditional:
            share = np.array([row["class_accuracy"] for row in some])
            error = 2 * np.sqrt(share * (1 - share) / [row.get("count", np.inf) for row in some])
            axes[1].errorbar(calls, 100 * share, 100 * error, fmt="o-", color=color, capsize=3)
    if floor is not None:
        axes[0].axhline(floor, color="k", linestyle=":", label=f"floor: {lowest}")
    axes[0].set(ylabel=units, title="distance to the training set")
    if conditional:
        axes[1].set(xscale="log", ylabel="samples of the class asked for (%)", title="class asked for")
    calls = sorted({row["network_calls"] for row in rows})
    axes[0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    for axis in axes:
        axis.set(xlabel="network calls a sample")
        axis.set_xticks(calls, [f"{call}" for call in calls])
        axis.minorticks_off()
    return _save(figure, path, axes)


def by_level(path: str | Path, levels: Sequence[Mapping[str, float]]) -> Path:
    """Draw accuracy, negative log-likelihood and calibration error against log SNR, and Bayes' where known.

    Args:
      path: the PNG; its folder is made.
      levels: see `by_level.of_levels`.

    Returns:
      The file's path.
    """
    levels = [level for level in levels if level["log_snr"] is not None and np.isfinite(level["log_snr"])]
    snr = [level["log_snr"] for level in levels]
    figure = _figure(13, 4)
    axes = figure.subplots(1, 3)
    titles = {
        "accuracy": "accuracy",
        "nll": "-log p(y | x_t) (nats)",
        "calibration_error": "calibration error",
    }
    for axis, (key, title) in zip(axes, titles.items()):
        error = [2 * level["standard_error"] for level in levels] if key == "accuracy" else None
        own = [level[key] for level in levels]
        axis.errorbar(snr, own, error, fmt="o-", capsize=3, label="classifier" if axis is axes[0] else None)
        if f"bayes_{key}" in levels[0]:
            best = [level[f"bayes_{key}"] for level in levels]
            axis.plot(
                snr, best, color="0.75", linewidth=5, zorder=1, label="Bayes" if axis is axes[0] else None
            )
        axis.set(xlabel="log SNR (left: pure noise, right: data)", title=title, ylim=(0, None))
    return _save(figure, path, axes)


def _figure(width, height):
    from matplotlib.figure import Figure  # without pyplot: no window, no global state; needed here alone

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure, path, axes):
    for axis in axes:
        axis.grid(alpha=0.3)
    named = [axis.get_legend_handles_labels() for axis in axes]
    handles, labels = ([each for one in part for each in one] for part in zip(*named))
    # below the axes: it covers no curve
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    with files.whole(path) as file:
        figure.savefig(file, dpi=110, format="png", bbox_inches="tight")
    return Path(path)
