"""The one place where names of data sets become data."""

import difflib
import functools
import importlib
import inspect
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from diffjax.border import checked
from diffjax.data import toys
from diffjax.data.sources import Source


@checked
def load(name: str, split: str = "train", **options: Any) -> Source:
    """Load a data set by name.

    Args:
      name: "digits" (options: `data_dir`); "npz" (`path`, `images`, `labels`, `arrays`, ...); "folder", of
        image files (`path`, `size`, `channels`, `labels`, `alpha`, ...); a toy set, "ring8",
        "two_modes", "grid25", "checkerboard", "moons", "swiss_roll" (`num_examples`, `seed`); or any set of
        images that TFDS has prepared, such as "cifar10", "imagenet_resized/64x64", "celeb_a" (`data_dir`,
        `image`, `label`, `train`, `test`, `size`). The options are those of `folder.read`, `npz.read` and
        `prepared.read`.
      split: "train" or "test"; the splits of a toy set are independent draws.
      **options: of that data set.

    Returns:
      The split; the images of "folder" and of TFDS are decoded when they are asked for.

    Raises:
      ValueError: if the name, the split or an option is unknown, an option is missing, or a set of TFDS is
        not prepared; it says how to prepare it.
    """
    reader = _reader(name, options.get("data_dir"))
    try:
        inspect.signature(reader).bind(split=split, **options)
    except TypeError as error:
        allowed = ", ".join(p for p in inspect.signature(reader).parameters if p != "split")
        raise ValueError(f'data "{name}": {error}; its options are {allowed}') from None
    return reader(split=split, **options)


def _reader(name: str, data_dir: str | os.PathLike | None) -> Callable[..., Source]:
    if name in _TOYS:
        return _toy(_TOYS[name])
    if name in _MODULES:
        return importlib.import_module(_MODULES[name]).read  # TFDS is slow to import and few need it
    return _prepared(name, data_dir)


def _prepared(name: str, data_dir: str | os.PathLike | None) -> Callable[..., Source]:
    """Return the reader of a set that TFDS knows, or that is on disk."""
    from diffjax.data import prepared

    known, base = prepared.names(), name.partition("/")[0]
    if base and (base in known or (prepared.root(data_dir) / base).is_dir()):
        return functools.partial(prepared.read, name)
    own = (*_MODULES, *_TOYS)
    near = difflib.get_close_matches(name, own, n=1) or difflib.get_close_matches(name, known, n=1)
    hint = f', did you mean "{near[0]}"?' if near else ""
    allowed = f"one of {', '.join(own)}, or a set of TFDS such as cifar10"
    raise ValueError(f'data name must be {allowed}; got "{name}"{hint}')


def _toy(draw: Callable) -> Callable[..., Source]:
    def read(split: str, num_examples: int = 10_000, seed: int = 0) -> Source:
        if split not in ("train", "test"):
            raise ValueError(f'split must be "train" or "test", got "{split}"')
        if num_examples < 1:
            raise ValueError(f"num_examples must be at least 1, got {num_examples}")
        stream = np.random.default_rng([seed, zlib.crc32(f"{draw.__name__}/{split}".encode())])
        x, label = draw(stream, num_examples)
        num_classes = None if label is None else _NUM_CLASSES[draw]
        return Source(x, label, num_classes, name=f"{draw.__name__}/{split}")

    read.__qualname__ = draw.__name__  # what messages call it
    return checked(read)


_NUM_CLASSES = {toys.ring8: 8, toys.two_modes: 2, toys.grid25: 25, toys.moons: 2}
_DRAWS = (toys.ring8, toys.two_modes, toys.grid25, toys.checkerboard, toys.moons, toys.swiss_roll)
_TOYS = {draw.__name__: draw for draw in _DRAWS}
_MODULES = {name: f"diffjax.data.{name}" for name in ("digits", "npz", "folder")}
