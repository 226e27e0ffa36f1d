"""The one place where names of data sets become data."""

import difflib
import functools
import inspect
import zlib
from collections.abc import Callable

import numpy as np

from diffjax.data import folder, npz, toys
from diffjax.data.sources import Source


def load(name: str, split: str = "train", **options) -> Source:
    """Load a data set by name.

    Args:
      name: "digits" (options: `data_dir`); "npz" (`path`, `images`, `labels`, `num_classes`); "folder", of
        image files (`path`, `size`, `channels`, `labels`, `train`, `test`, `held_out`); a toy set, "ring8",
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
    reader = _READERS.get(name) or _prepared(name, options.get("data_dir"))
    try:
        inspect.signature(reader).bind(split=split, **options)
    except TypeError as error:
        allowed = ", ".join(p for p in inspect.signature(reader).parameters if p != "split")
        raise ValueError(f'data "{name}": {error}; its options are {allowed}') from None
    return reader(split=split, **options)


def _prepared(name: str, data_dir: str | None) -> Callable[..., Source]:
    """Return the reader of a set that TFDS knows, or that is on disk."""
    from diffjax.data import prepared  # TFDS is slow to import and few need it

    known, base = prepared.names(), name.partition("/")[0]
    if base and (base in known or (prepared.root(data_dir) / base).is_dir()):
        return functools.partial(prepared.read, name)
    near = difflib.get_close_matches(name, _READERS, n=1) or difflib.get_close_matches(name, known, n=1)
    hint = f', did you mean "{near[0]}"?' if near else ""
    allowed = f"one of {', '.join(_READERS)}, or a set of TFDS such as cifar10"
    raise ValueError(f'data name must be {allowed}; got "{name}"{hint}')


def _digits(split: str, data_dir: str | None = None) -> Source:
    from diffjax.data import digits  # TFDS is slow to import and few need it

    return digits.read(split, data_dir)


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

    return read


_NUM_CLASSES = {toys.ring8: 8, toys.two_modes: 2, toys.grid25: 25, toys.moons: 2}
_TOYS = (toys.ring8, toys.two_modes, toys.grid25, toys.checkerboard, toys.moons, toys.swiss_roll)
_READERS = {"digits": _digits, "npz": npz.read, "folder": folder.read}
_READERS |= {draw.__name__: _toy(draw) for draw in _TOYS}
