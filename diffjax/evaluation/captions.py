"""Whether a caption can be told from the picture that was made of it, by an encoder of both.

R-precision (Xu et al. 2018, section 4) by an encoder as of Radford et al. 2021: each picture looks for its
caption among others. Real pictures say what the judge can do at all; pictures beside other pictures'
captions, and pictures made of no caption, what it finds without the condition.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from diffjax.evaluation import batches, retrieval, sampled
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.rows import spread

_ARMS = {
    "real": "real pictures",
    "made": "made of the captions",
    "shuffled": "the same, captions shuffled",
    "nothing": "made of no caption",
}
_SETS = {"held_out": "Held-out captions", "train": "Captions of training"}


class Judge(NamedTuple):
    """An encoder of pictures and captions.

    Attributes:
      name: of its run, for the report.
      image: uint8 images [N, H, W, C] -> features [N, D] of unit norm.
      text: strings [N] -> features [N, D] of unit norm.
    """

    name: str
    image: Callable[[np.ndarray], np.ndarray]
    text: Callable[[Sequence[str]], np.ndarray]


def chosen(captions: np.ndarray, most: int) -> np.ndarray:
    """Return rows of `most` different captions [N] at the most, spread evenly over the alphabet.

    Each is the first that has its caption.
    """
    _, first = np.unique(captions, return_index=True)
    return first[spread(min(most, len(first)), len(first))]


def scores(made: Mapping[str, np.ndarray], text: np.ndarray, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return `retrieval.scores` of pictures that look for their captions.

    Args:
      made: features [N, D] of pictures; "made" is also scored with the captions shuffled.
      text: features [N, D] of the captions, all different.
      seed: of the shuffle, in which no caption stays where it is.
    """
    own = np.eye(len(text), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(text))
    other = np.zeros_like(own)
    other[order, np.roll(order, 1)] = True
    found = {name: retrieval.scores(each @ text.T, own) for name, each in made.items()}
    return found | {"shuffled": retrieval.scores(made["made"] @ text.T, other)}


def _prepare(task: Task):
    """Return () -> {"captions": {set: {arm: scores}}}, or None where there is no judge."""
    judge, settings = task.judge, task.settings
    if judge is None:
        return None
    array = settings["caption_array"]
    for each in (task.train, task.held_out):
        if array not in each.arrays:
            raise ValueError(f"evaluation.caption_array: {each.name} has no array {array!r}")
    if not task.system.request.parts:
        raise ValueError(
            "evaluation.judge needs a system that is asked for captions, and this one takes none"
        )

    def measured():
        found = {}
        for i, (name, source) in enumerate({"held_out": task.held_out, "train": task.train}.items()):
            picked = source.take(chosen(np.asarray(source[array]), settings["captions"]))
            key = jax.random.fold_in(jax.random.key(task.seed), i)
            images = {"real": sampled.pixels(picked.x), **_made(task, picked, key)}
            text = judge.text([str(each) for each in picked[array]])
            found[name] = scores({arm: judge.image(x) for arm, x in images.items()}, text, task.seed)
        return {"captions": {"judge": judge.name, **found}}

    return measured


def _made(task: Task, picked, key):
    """Return pictures made of what a source's rows ask, and of nothing, from the same noise."""
    system, n, size = task.system, len(picked), task.settings["batch_size"]
    request = batches.per_example(system.request.of_batch, task.variables, picked, key=key, batch_size=size)
    blank = system.request.default(n)
    return {
        "made": sampled.of_requests(task, request, key, "captions"),
        "nothing": sampled.of_requests(task, blank, key, "no caption"),
    }


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    found = result.get("captions")
    if not found:
        return
    yield f"## Captions told from pictures, by {found['judge']}"
    for name, title in _SETS.items():
        arms = found[name]
        first = arms["made"]
        lines = [f"| {title} | R@1 | R@10 | median rank |", "|---|" + "---:|" * 3]
        for arm, about in _ARMS.items():
            cells = [retrieval.told(arms[arm], k) for k in retrieval.AT]
            lines.append(f"| {about} | {' | '.join(cells)} | {arms[arm]['median_rank']:g} |")
        cells = [f"{first[f'recall_{k}_chance']:.1%}" for k in retrieval.AT]
        lines.append(f"| chance | {' | '.join(cells)} | {first['median_rank_chance']:g} |")
        yield "\n".join(lines)
    yield (
        f"Each picture looks for its caption among {found['held_out']['made']['candidates']:,} held-out "
        f"ones, or {found['train']['made']['candidates']:,} of training. ± is one standard error."
    )


EVALUATOR = OfData("captions", _prepare, _pages)
