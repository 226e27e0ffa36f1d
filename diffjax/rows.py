"""Which rows of a data set: some at a time, or some spread over it."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def in_turn(count: int, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Go through N rows, `size` at a time, the last time filled up with the last row.

    Yields:
      Where the rows lie, a slice of at most `size` of 0..N-1, and their numbers, int `[size]`.
    """
    for start in range(0, count, size):
        yield slice(start, min(start + size, count)), np.minimum(np.arange(start, start + size), count - 1)


def drawn(array: Any, some: int, rng: np.random.Generator) -> Any:
    """Return some rows of an array, drawn without repetition; all of them as they are where that is all."""
    return array if len(array) == some else array[rng.choice(len(array), some, replace=False)]


def spread(some: int, count: int) -> np.ndarray:
    """Return the numbers of some rows out of N, int `[some]`, evenly through all; beyond N they repeat."""
    return np.arange(some) * count // max(some, 1)
