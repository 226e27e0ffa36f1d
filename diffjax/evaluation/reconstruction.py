"""How well an autoencoder gives held-out pictures back, beside as many numbers kept by cubic interpolation.

Both are rounded to 8 bits, as pictures are written. A table's vectors are counted over an epoch, as the share
that a batch takes says more of the batch than of the table.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffjax.evaluation import batches, classifier, pictures, similarity
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.evaluation.extractors import Extractor
from diffjax.evaluation.frechet import frechet_distance
from diffjax.evaluation.held_out import of_rows, that_give
from diffjax.pixels import to_model, to_uint8

_SHOWN = 10  # pictures
_GIVES, _CODES = {"x", "y"}, "codes"
_PICTURE = "_reconstruction"  # of a result: what is drawn, and no number
_ROWS = {
    "psnr": ("PSNR, dB", "{:.2f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "lpips": ("LPIPS", "{:.4f}"),
    "frechet": ("Fréchet distance", "{:.4g}"),
}


def _prepare(task: Task):
    """Return () -> the result of each measure that gives pictures "x" and "y"; None where there is none."""
    chosen = that_give(task.system, task.variables, task.held_out, _GIVES)
    if not chosen:
        return None
    rows = task.held_out.first(task.settings["reference"])

    def run():
        results, shown = {}, {}
        for name, measure in chosen.items():
            how = measure.how
            extractor = _extractor(task)
            every = of_rows(task, measure, rows, name)
            x, y = to_uint8(every["x"]), to_uint8(every["y"])
            small = batches.over(
                lambda i, x=x: to_model(x[i]), len(x), task.settings["batch_size"],
                lambda x, values=how["values"]: similarity.bicubic(x, values),
            )  # fmt: skip
            small = to_uint8(small)
            found = {"count": len(x), "values": how["values"], "pixels": int(np.prod(x.shape[1:]))}
            for title, given in (("given back", y), ("bicubic", small)):
                found[title] = _compare(x, given, extractor, task.settings["batch_size"])
            if extractor is not None:
                found["features"] = extractor.conventions
            if _CODES in every:
                found["codes"] = _codes(task, measure)
            results[name], shown[name] = found, (x[:_SHOWN], y[:_SHOWN], small[:_SHOWN])
        return {"reconstruction": results, _PICTURE: shown}

    return run


def _extractor(task: Task) -> Extractor | None:
    """Return what reads features: of a file, or of a classifier that is trained where there are labels."""
    given = task.extractor
    if given is None and task.train.label is not None:
        given = classifier.fit(task.train, task.held_out, seed=task.seed)
    return classifier.extractor(given) if isinstance(given, classifier.Classifier) else given


def _compare(x, y, extractor: Extractor | None, size: int) -> dict[str, float]:
    """Return the means over pictures uint8 [N, H, W, C], and the distance of their features."""
    both = lambda i: (to_model(x[i]), to_model(y[i]))
    alike = lambda pair: {"psnr": similarity.psnr(*pair), "ssim": similarity.ssim(*pair)}
    found = {name: float(each.mean()) for name, each in batches.over(both, len(x), size, alike).items()}
    if extractor is not None and extractor.distance is not None:
        found["lpips"] = float(extractor.distance(x, y).mean())
    if extractor is not None and len(x) > 1:
        found["frechet"] = frechet_distance(extractor.features(x), extractor.features(y))
    return found


def _codes(task: Task, measure) -> dict[str, Any]:
    """Return how a table is used over training pictures, once through all of them or through many."""
    rows = task.train.first(task.settings["reference"])
    taken = lambda variables, key, batch: measure(variables, key, batch)[_CODES]
    found = of_rows(task, taken, rows, "codes")
    counts = np.bincount(found.reshape(-1), minlength=measure.how[_CODES]).astype(np.float64)
    share = counts[counts > 0] / counts.sum()
    return {
        "of": measure.how[_CODES],
        "examples": len(rows),
        "used": float((counts > 0).mean()),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
    }


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    for name, found in result.get("reconstruction", {}).items():
        yield f"## Reconstruction of {found['count']:,} held-out pictures"
        columns = {title: found[title] for title in ("given back", "bicubic")}
        lines = [f"| | {' | '.join(columns)} |", "|---|---:|---:|"]
        for key, (title, form) in _ROWS.items():
            if key in found["bicubic"]:
                lines.append(
                    f"| {title} | {' | '.join(form.format(each[key]) for each in columns.values())} |"
                )
        yield "\n".join(lines)
        yield (
            f"{found['values']:,} numbers for {found['pixels']:,}; the bicubic column keeps as many. Rounded "
            f"to 8 bits. {found.get('features', '')}"
        ).rstrip()
        if _CODES in found:
            codes = found[_CODES]
            yield (
                f"Of {codes['of']:,} vectors {100 * codes['used']:.1f} % are used by {codes['examples']:,} "
                f"training pictures; perplexity {codes['perplexity']:.1f}."
            )
        yield f"![originals, given back, bicubic](evaluation/{name}.png)"
        yield "First row: originals; second: given back; third: bicubic."


def _draw(folder: Path, result: Mapping[str, Any]) -> None:
    for name, rows in result.get(_PICTURE, {}).items():
        pictures.grid(folder / f"{name}.png", np.concatenate(rows), columns=len(rows[0]))


EVALUATOR = OfData("reconstruction", _prepare, _pages, _draw)
