"""Retrieval: whether the right text is among the nearest to a picture, and the right picture to a text.

`recall` and `chance` are of any similarities; `EVALUATOR` measures systems that embed pictures and texts, and
`BY_LEVEL` encoders that know noise, whose noised pictures are to find themselves among the clean ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.evaluation import held_out
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.types import Array, Bool, Float, Int

AT = (1, 10)  # the k of recall


@checked
def ranks(
    similarity: Float[Array, "queries candidates"], right: Bool[Array, "queries candidates"]
) -> Int[np.ndarray, " queries"]:
    """Return the rank of each query's best right candidate, 1 for the best of all.

    Wrong candidates that are as similar count as better: features that are all alike find nothing.

    Args:
      similarity: [N, M], larger is nearer; where it is not a number, nothing is found.
      right: [N, M], at least one a query.

    Raises:
      ValueError: for a query without a right candidate.
    """
    similarity, right = np.nan_to_num(np.asarray(similarity, np.float64), nan=-np.inf), np.asarray(right)
    if not right.any(axis=1).all():
        raise ValueError(
            f"right must have a candidate for each query, {np.argmin(right.any(axis=1))} has none"
        )
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    return 1 + (~right & (similarity >= best)).sum(axis=1)


@checked
def chance(right: Int[Array, " queries"], candidates: int, k: int) -> float:
    """Return the recall at k of a random order: the mean of 1 - C(M - n, k) / C(M, k).

    Args:
      right: [N], the number n of right candidates of each query, at least 1.
      candidates: their number M.
      k: places that count.
    """
    for name, number in (("candidates", candidates), ("k", k)):
        checks.count(name, number)
    missed = np.ones(len(right))
    for place in range(min(k, candidates)):
        missed *= np.clip(candidates - np.asarray(right) - place, 0, None) / (candidates - place)
    return float(1 - missed.mean())


@checked
def scores(
    similarity: Float[Array, "queries candidates"], right: Bool[Array, "queries candidates"]
) -> dict[str, Any]:
    """Return recall at 1 and 10 with their standard errors, the median rank, and what chance gives of each.

    Args:
      similarity, right: see `ranks`.

    Returns:
      {"recall_1", "recall_1_error", "recall_1_chance", "recall_10", ..., "median_rank", "median_rank_chance",
      "queries", "candidates"}. Errors are of independent queries; the median of chance is the least rank at
      which it has found half.
    """
    place, counts, m = ranks(similarity, right), np.asarray(right).sum(axis=1), np.shape(right)[1]
    found: dict[str, Any] = {"queries": len(place), "candidates": m}
    for k in AT:
        hit = (place <= k).astype(np.float64)
        found[f"recall_{k}"] = float(hit.mean())
        found[f"recall_{k}_error"] = float(hit.std() / np.sqrt(len(hit)))
        found[f"recall_{k}_chance"] = chance(counts, m, k)
    found["median_rank"] = float(np.median(place))
    found["median_rank_chance"] = float(next(k for k in range(1, m + 1) if chance(counts, m, k) >= 0.5))
    return found


def both_ways(
    image: Float[Array, "n features"], text: Float[Array, "n features"], which: Int[Array, " n"]
) -> dict[str, dict[str, Any]]:
    """Return `scores` of pictures that look for their text, and of texts that look for a picture.

    Args:
      image, text: features [N, D] of pairs.
      which: [N], the text's number; pictures of one text are all right for it, and it is one candidate.
    """
    numbers, first = np.unique(which, return_index=True)
    similarity, right = image @ text[first].T, which[:, None] == numbers
    return {"image_to_text": scores(similarity, right), "text_to_image": scores(similarity.T, right.T)}


def numbered(asked: Sequence[Array]) -> Int[np.ndarray, " n"]:
    """Return a number for each row of what was asked, arrays [N, ...]: equal rows have the same."""
    rows = [np.ascontiguousarray(each).reshape(len(each), -1).view(np.uint8) for each in asked]
    return np.unique(np.concatenate(rows, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _prepare(task: Task):
    """Return () -> {"retrieval": {measure: both ways}}, or None where nothing embeds pictures and texts."""
    return held_out.of_those_that_give(task, {"image", "text"}, "retrieval", _pairs)


def _pairs(found, how):
    del how
    asked = [value for name, value in found.items() if name.startswith("asked/")]
    return both_ways(found["image"], found["text"], numbered(asked))


def _prepare_levels(task: Task):
    """Return () -> {"retrieval_by_level": {measure: levels}}, or None where no encoder knows noise."""
    return held_out.of_those_that_give(task, {"clean", "noised", "unaware"}, "retrieval_by_level", _levels)


def _levels(found, how):
    clean, own = np.asarray(found["clean"], np.float64), np.eye(len(found["clean"]), dtype=bool)
    levels = []
    for i in range(found["noised"].shape[1]):
        level = {name: values[i] for name, values in how.items()}
        for arm in ("noised", "unaware"):
            seen = np.asarray(found[arm][:, i], np.float64)
            told = {"cosine": float((seen * clean).sum(-1).mean()), **scores(seen @ clean.T, own)}
            level |= {f"{arm}_{name}": value for name, value in told.items()}
        levels.append(level)
    return {"levels": levels}


_WAYS = {"image_to_text": "picture → text", "text_to_image": "text → picture"}


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    for found in result.get("retrieval", {}).values():
        yield f"## Retrieval, {found['count']:,} held-out pictures"
        lines = ["| | R@1 | chance | R@10 | chance | median rank | chance | among |", "|---|" + "---:|" * 7]
        for way, title in _WAYS.items():
            each = found[way]
            cells = [cell for k in AT for cell in (told(each, k), f"{each[f'recall_{k}_chance']:.1%}")]
            cells += [f"{each[name]:g}" for name in ("median_rank", "median_rank_chance")]
            lines.append(f"| {title} | {' | '.join(cells)} | {each['candidates']:,} |")
        yield "\n".join(lines)
        yield "± is one standard error. Pictures of one text are all right for it, and it is one candidate."


def told(each: Mapping[str, float], k: int, arm: str = "") -> str:
    """Say recall at k with its standard error, of `scores` whose names begin with `arm`."""
    return f"{each[f'{arm}recall_{k}']:.1%} ± {each[f'{arm}recall_{k}_error']:.1%}"


def _pages_of_levels(result: Mapping[str, Any]) -> Iterator[str]:
    for found in result.get("retrieval_by_level", {}).values():
        first = found["levels"][0]
        yield f"## Noised pictures that find themselves among {found['count']:,} held-out clean ones"
        titles = "| t | log SNR | R@1 | R@10 | cosine | R@1, unaware | R@10, unaware | cosine, unaware |"
        lines = [titles, "|" + "---:|" * 8]
        for level in found["levels"]:
            cells = [f"{level['t']:.4g}", "–" if level["log_snr"] is None else f"{level['log_snr']:.2f}"]
            for arm in ("noised_", "unaware_"):
                cells += [*(told(level, k, arm) for k in AT), f"{level[f'{arm}cosine']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join(lines)
        by_chance = [f"R@{k} {first[f'noised_recall_{k}_chance']:.1%}" for k in AT]
        yield (
            f"Chance: {', '.join(by_chance)}. One draw of "
            "noise a picture and level; unaware is the clean encoder on the same noised picture."
        )


EVALUATOR = OfData("retrieval", _prepare, _pages)
BY_LEVEL = OfData("retrieval_by_level", _prepare_levels, _pages_of_levels)
