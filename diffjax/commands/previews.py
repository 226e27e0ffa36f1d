"""Samples that are drawn while a network trains: a picture of them, and how far they are from data."""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax.data import Source
from diffjax.evaluation import pictures
from diffjax.evaluation.wasserstein import sliced_wasserstein
from diffjax.pixels import to_model, to_uint8
from diffjax.rows import spread
from diffjax.training.system import System

NUM: dict[str | None, int] = {"images": 100, "points": 2000, "embeddings": 100}
MEASURED = ("sliced_wasserstein", "sliced_wasserstein_floor")
_SIDE = 32  # of pictures whose distance is measured


def drawn(system: System, settings: ConfigDict) -> Callable | None:
    """Return (variables, rows of data) -> samples, and what they were asked; None where none are wanted.

    Classes in turn are asked, or what the rows have: nothing is not what a model of texts or pictures would
    be looked at for.

    Args:
      system: what is trained.
      settings: `config.training`.
    """
    if not system.passes or not settings.get("sample_every", 0):
        return None
    n, key = NUM[system.gives], jax.random.key(settings.seed)

    def draw(variables, rows):
        asked = system.request.of_batch(variables, key, rows) if rows else system.request.default(n)
        return system.sample(variables, key, asked, n), asked

    return jax.jit(draw)  # one trace for refusals and for the samples


def rows_shown(system: System, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a batch that `drawn` needs: nothing where classes alone are asked."""
    return {} if set(system.request.parts) <= {"label"} else batch


def report(system: System, source: Source, draw: Callable, folder: str | Path) -> Callable:
    """Return `training.fit`'s on_sample: a picture in `samples/step_<n>.png`, and `distances` for the log.

    Args:
      system: what is trained.
      source: training data as training sees them.
      draw: of `drawn`.
      folder: of the run.
    """
    n = NUM[system.gives]
    rows, measure = rows_shown(system, source.gather(spread(n, len(source)))), distances(source, n)

    def on_sample(step, variables):
        x, asked = jax.device_get(draw(variables, rows))
        numbers = measure(x)
        if jax.process_index():
            return numbers
        path = Path(folder) / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        if not np.isfinite(x).all():
            wrong = np.sum(~np.isfinite(x))
            print(f"warning: {wrong} of {x.size} values in {path} are not finite", file=sys.stderr)
        shown = to_uint8(x) if system.gives == "images" else x
        reference = source.x[:n] if system.gives == "points" else None
        said, beside = system.request.describe(asked), system.request.pictures(asked)
        pictures.of_samples(path, str(system.gives), shown, said, reference, beside)
        return numbers

    return on_sample


def distances(source: Source, num: int) -> Callable[[np.ndarray], dict[str, float]]:
    """Return what tells, as far as so few samples can, whether training makes them better: a loss may not.

    Args:
      source: training data.
      num: of samples.

    Returns:
      x `[num, ...]` -> {"sliced_wasserstein", "sliced_wasserstein_floor"}: the distance to as many examples,
      of pictures by their pixels in [-1, 1] (larger ones shrunk to 32x32), and that of as many others to
      these. Nothing of x that is not finite, or not of the shape of the data.
    """
    shuffled, size = np.random.default_rng(0).permutation(len(source)), min(num, len(source) // 2)
    between = lambda a, b: sliced_wasserstein(a, b, np.random.default_rng(1))

    @functools.cache
    def examples():
        real, other = (_flat(source.x[np.sort(shuffled[i * size : (i + 1) * size])]) for i in range(2))
        return real, between(other, real)

    def measure(x: np.ndarray) -> dict[str, float]:
        if not size or x.shape[1:] != source.x.shape[1:] or not np.isfinite(x).all():
            return {}
        real, floor = examples()
        found = between(_flat(x[spread(size, len(x))]), real)
        return dict(zip(MEASURED, (found, floor)))

    return measure


def _flat(x: np.ndarray) -> np.ndarray:
    x = np.asarray(to_model(x)) if x.dtype == np.uint8 else np.asarray(x)
    if x.ndim == 4 and max(x.shape[1:3]) > _SIDE:
        x = np.asarray(jax.image.resize(x, (len(x), _SIDE, _SIDE, x.shape[-1]), "linear"))
    return x.reshape(len(x), -1)
