"""Images that are decoded when they are indexed, for sets that memory may not hold."""

import concurrent.futures
import math
from collections.abc import Callable

import numpy as np

from diffjax.types import Integer, UInt8

_KEPT_BYTES = 2**30  # decoded sets up to this size stay in memory: the files of a larger one are read again
_CHUNK = 256


class LazyImages:
    """Stand where an array uint8 [N, H, W, C] would, and decode the images that are asked for.

    Its first axis is indexed as an array's; any other use decodes everything. What was decoded is kept if the
    whole set takes at most 1 GiB: then every image is decoded once. Any number of threads may index it.

    Attributes:
      shape: (N, H, W, C).
      dtype: uint8.
      ndim: 4.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...],
        mark: Callable[[np.ndarray], bytes] = lambda rows: b"",
        keep: bool = True,
    ):
        """Make the images.

        Args:
          read: distinct rows int [B] -> pixels uint8 [B, H, W, C]; called from several threads at once.
          shape: (N, H, W, C).
          mark: rows int [B] -> what tells these images from others, found without decoding them all; by
            default nothing does but their shape.
          keep: what was decoded, if it is not too much.
        """
        self.shape = tuple(shape)
        self._read = read
        self._mark = mark
        self._rows = np.arange(self.shape[0])
        self._have = np.zeros(self.shape[0], bool)
        keep = keep and math.prod(self.shape) <= _KEPT_BYTES
        self._kept = np.empty(self.shape, np.uint8) if keep else None

    def __len__(self) -> int:
        return self.shape[0]

    def mark(self) -> bytes:
        """Return what tells these images from others: their shape, and the mark of their rows."""
        return repr(self.shape).encode() + self._mark(self._rows)

    def take(self, rows: Integer[np.ndarray, " count"]) -> "LazyImages":
        """Return the images of some rows, still to be decoded; what is decoded is kept here."""
        read, mark = lambda chosen: self[rows[chosen]], lambda chosen: self._mark(rows[chosen])
        return LazyImages(read, (len(rows), *self.shape[1:]), mark, keep=self._kept is None)

    def __getitem__(self, index) -> UInt8[np.ndarray, "..."]:
        """Return the images at `index` of the first axis, a new array; an index of more axes decodes all."""
        if isinstance(index, tuple):
            return np.asarray(self)[index]
        rows = self._rows[index]
        return self._take(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype: np.typing.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Decode everything, on all cores."""
        del copy  # always a new array
        everything = np.empty(self.shape, np.uint8)

        def fill(start):
            everything[start : start + _CHUNK] = self[start : start + _CHUNK]

        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(0, len(self), _CHUNK)))
        return everything if dtype is None else everything.astype(dtype)

    def _take(self, rows: np.ndarray) -> np.ndarray:
        if self._kept is None:
            distinct, inverse = np.unique(rows, return_inverse=True)
            return self._read(distinct)[inverse] if len(rows) else np.empty((0, *self.shape[1:]), np.uint8)
        missing = np.unique(rows[~self._have[rows]])
        if len(missing):
            self._kept[missing] = self._read(missing)
            self._have[missing] = True  # after the pixels: another thread may look in between
        return self._kept[rows]
