"""What else a system measures of held-out examples: means of the numbers that its measures give a row."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from diffjax.evaluation import batches
from diffjax.evaluation.bits import BITS
from diffjax.evaluation.evaluator import OfData, Task


def _prepare(task: Task):
    """Return () -> {"measures": {measure: {name: mean and standard error}}}, or None where there is none."""
    held_out = task.held_out.first(task.settings["reference"])
    batch = held_out.gather(np.zeros(2, int))
    found = {}
    for name, measure in task.system.measures.items():
        shapes = jax.eval_shape(measure, task.variables, jax.random.key(0), batch)
        numbers = [
            n for n, leaf in shapes.items() if leaf.ndim == 1 and np.issubdtype(leaf.dtype, np.floating)
        ]
        if BITS not in shapes and numbers:
            found[name] = _only(measure, numbers)
    if not found:
        return None
    options = {"key": jax.random.key(task.seed), "batch_size": task.settings["batch_size"]}

    def measured():
        results = {}
        for name, measure in found.items():
            title = name if task.progress else None
            every = batches.per_example(measure, task.variables, held_out, progress=title, **options)
            results[name] = {"count": len(held_out)} | {
                each: _average(value) for each, value in every.items()
            }
        return {"measures": results}

    return measured


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
