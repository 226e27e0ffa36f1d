"""What else a system measures of held-out examples: means of the numbers that its measures give a row."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffjax.evaluation.bits import BITS
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.evaluation.held_out import measured, shapes


def _prepare(task: Task):
    """Return () -> {"measures": {measure: {name: mean and standard error}}}, or None where there is none."""
    found = {}
    for name, given in shapes(task.system, task.variables, task.held_out).items():
        numbers = [
            n for n, leaf in given.items() if leaf.ndim == 1 and np.issubdtype(leaf.dtype, np.floating)
        ]
        if BITS not in given and numbers:
            found[name] = _only(task.system.measures[name], numbers)
    return measured(task, found, "measures", _means)


def _means(every, how):
    del how
    return {name: _average(values) for name, values in every.items()}


def _only(measure, names):
    def some(variables, key, batch):
        found = measure(variables, key, batch)
        return {name: found[name] for name in names}

    return some


def _average(values):
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return {"mean": float(values.mean()), "standard_error": float(error)}


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    for name, found in result.get("measures", {}).items():
        yield f"## {name}, of {found['count']:,} held-out examples"
        lines = ["| | mean | standard error |", "|---|---:|---:|"]
        show = lambda value: "–" if value is None else f"{value:.4g}"
        for each, value in found.items():
            if each != "count":
                lines.append(f"| {each} | {show(value['mean'])} | {show(value['standard_error'])} |")
        yield "\n".join(lines)


EVALUATOR = OfData("measures", _prepare, _pages)
