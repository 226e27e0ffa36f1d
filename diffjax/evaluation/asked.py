"""Whether samples are what they were asked to be, where what is asked can be made of a picture.

A small or a blurred picture or a map of colours is made of a picture by one rule, the system's own
`request.of_batch`. By the same rule it is made of a sample, and compared with what the sample was asked by:
no judge is needed. Beside it stand another sample's request, and samples that were asked nothing, which say
what the condition is worth.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffjax.evaluation import batches, pictures, sampled
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.types import Array, Float, Num

_ARMS = {"made": "as asked", "shuffled": "beside another's request", "nothing": "asked nothing"}
_ROWS = {"made": "what is made of it", "nothing": "what is made of nothing"}
_OF = {"numbers": "{}, root mean square of the difference", "classes": "{}, places of another class"}
_SHOWN = 10  # pictures
_PICTURE = "_asked"  # of a result: what is drawn, and no number
_KEY = "asked"
_HUES = 3  # channels of what is drawn


def difference(asked: Num[Array, "n *shape"], found: Num[Array, "n *shape"]) -> Float[np.ndarray, " n"]:
    """Return how far parts of requests are apart, each row by itself.

    The root mean square of the differences of numbers; of classes the share of places with another one.
    """
    asked, found = (np.asarray(each).reshape(len(each), -1) for each in (asked, found))
    if asked.dtype.kind == "f":
        return np.sqrt(np.mean((asked.astype(np.float64) - found) ** 2, 1))
    return np.mean(asked != found, 1)


def _prepare(task: Task):
    """Return () -> {"asked": {"count", "parts"}}, or None where nothing asked is made of the picture."""
    names = _of_the_picture(task)
    if not names:
        return None
    rows, key = task.held_out.first(task.settings["num_samples"]), jax.random.key(task.seed)

    def requests(x):
        source, size = dataclasses.replace(rows, x=x), task.settings["batch_size"]
        make = task.system.request.of_batch
        return batches.per_example(make, task.variables, source, key=key, batch_size=size)

    def measured():
        asked = requests(rows.x)
        made = {"made": sampled.of_requests(task, asked, key, "as asked")}
        blank = _nothing(task, len(rows))
        if blank is not None:
            made["nothing"] = sampled.of_requests(task, blank, key, "asked nothing")
        found = {arm: requests(x) for arm, x in made.items()}
        parts = {name: _compare(name, asked, found) for name in names}
        shown = [*task.system.request.pictures(asked), *made.values(), sampled.pixels(rows.x)]
        return {_KEY: {"count": len(rows), "parts": parts}, _PICTURE: [x[:_SHOWN] for x in shown]}

    return measured


def _of_the_picture(task: Task) -> list[str]:
    """Return the parts of a request that change with the picture alone."""
    if not task.system.passes or task.system.gives != "images":
        return []
    batch, make, key = task.held_out.gather(np.zeros(1, int)), task.system.request.of_batch, jax.random.key(0)
    own, other = (make(task.variables, key, {**batch, "x": x}) for x in (batch["x"], -batch["x"]))
    return [name for name in own if not np.array_equal(own[name], other[name])]


def _nothing(task: Task, n: int):
    """Return a request of nothing, or None where the system must be asked for something."""
    try:
        return task.system.request.default(n)
    except ValueError:
        return None


def _compare(name: str, asked: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return means over the samples, each with its standard error."""
    own = np.asarray(asked[name])
    rows = {arm: difference(own, each[name]) for arm, each in found.items()}
    rows["shuffled"] = difference(np.roll(own, 1, 0), found["made"][name])
    error = {arm: float(d.std() / np.sqrt(len(d))) for arm, d in rows.items()}
    about = {arm: {"mean": float(d.mean()), "error": error[arm]} for arm, d in rows.items()}
    return {"of": "numbers" if own.dtype.kind == "f" else "classes", **about}


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    found = result.get(_KEY)
    if not found:
        return
    yield f"## What {found['count']:,} held-out pictures ask, and what is made of it"
    lines = [f"| | {' | '.join(_ARMS.values())} |", "|---|" + "---:|" * len(_ARMS)]
    for name, about in found["parts"].items():
        cells = [_told(about[arm], about["of"]) if arm in about else "–" for arm in _ARMS]
        lines.append(f"| {_OF[about['of']].format(name)} | {' | '.join(cells)} |")
    yield "\n".join(lines)
    yield (
        "Each sample is made into what it would itself ask, and compared with what it was asked by. ± is one "
        "standard error."
    )
    yield "![asked, made, made of nothing, the pictures themselves](evaluation/asked.png)"
    rows = ("what is asked", *(_ROWS[arm] for arm in _ROWS if any(arm in p for p in found["parts"].values())))
    yield f"Rows: {', '.join(rows)}, the pictures themselves."


def _told(about: Mapping[str, float], of: str) -> str:
    form = "{:.1%} ± {:.1%}" if of == "classes" else "{:.4f} ± {:.4f}"
    return form.format(about["mean"], about["error"])


def _draw(folder: Path, result: Mapping[str, Any]) -> None:
    if _PICTURE in result:
        shown = result[_PICTURE]
        side = max(x.shape[1] for x in shown)
        rows = [_enlarged(x, side) for x in shown]
        pictures.grid(folder / "asked.png", np.concatenate(rows), columns=len(rows[0]))


def _enlarged(x, side):
    """Return pictures as large as the largest, in colour."""
    times = side // x.shape[1]
    x = x.repeat(times, 1).repeat(times, 2)
    return x if x.shape[-1] == _HUES else x.repeat(_HUES, -1)


EVALUATOR = OfData(_KEY, _prepare, _pages, _draw)
