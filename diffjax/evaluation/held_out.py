"""Measures of a system on held-out rows: which of them tell enough, and the one loop that asks them."""

from collections.abc import Callable, Mapping, Set
from typing import Any

import jax
import numpy as np

from diffjax.data import Source
from diffjax.evaluation import batches
from diffjax.evaluation.evaluator import Task
from diffjax.training.system import System, Variables


def shapes(system: System, variables: Variables, source: Source) -> dict[str, dict[str, Any]]:
    """Return {measure: {name: shape}}, what the system's measures give for two rows of a source."""
    batch = source.gather(np.zeros(2, int))
    key = jax.random.key(0)
    return {name: jax.eval_shape(each, variables, key, batch) for name, each in system.measures.items()}


def that_give(system: System, variables: Variables, source: Source, names: Set[str]) -> dict[str, Callable]:
    """Return the measures that give all of these names."""
    given = shapes(system, variables, source)
    return {name: each for name, each in system.measures.items() if given[name].keys() >= names}


def of_rows(task: Task, measure: Callable, rows: Source, title: str) -> Any:
    """Return what a measure gives of rows, as the evaluation is set."""
    return batches.per_example(
        measure, task.variables, rows, key=jax.random.key(task.seed), batch_size=task.settings["batch_size"],
        progress=title if task.progress else None,
    )  # fmt: skip


def measured(
    task: Task, chosen: Mapping[str, Callable], key: str, reduce: Callable[..., Mapping[str, Any]]
) -> Callable[[], dict[str, Any]] | None:
    """Return () -> {key: {measure: its result}} of the first `reference` held-out rows; None of no measure.

    Args:
      task: of the evaluation.
      chosen: {name: measure}.
      key: of the results.
      reduce: (what the measure gives of all rows, its `how`) -> numbers, to which the "count" is added.
    """
    if not chosen:
        return None
    rows = task.held_out.first(task.settings["reference"])

    def run():
        results = {}
        for name, measure in chosen.items():
            every = of_rows(task, measure, rows, name)
            results[name] = {"count": len(rows), **reduce(every, getattr(measure, "how", {}))}
        return {key: results}

    return run


def of_those_that_give(task: Task, names: Set[str], key: str, reduce: Callable) -> Callable | None:
    """Return what `measured` does, of the measures that give all of these names."""
    chosen = that_give(task.system, task.variables, task.held_out, names)
    return measured(task, chosen, key, reduce)
