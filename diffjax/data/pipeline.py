"""Batches from a source: shuffled, sharded, and resumable at any step.

The order of training is a stream of positions p = 0, 1, 2, ...; position p shows example
`shuffle(seed, epoch)[p mod N]` of epoch `p div N`. The global batch k is the positions k B .. (k + 1) B - 1,
and a shard reads its own contiguous rows of it. So the stream depends neither on the number of processes nor
on what was read before: a whole run is a function of the seed, and a resumed one of the seed and k. Another
batch size goes on at the position where the old one stopped.
"""

import functools
import os
import sys
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from diffjax.border import checked
from diffjax.data.sources import Source

if TYPE_CHECKING:  # who only samples needs no grain
    import grain

_THREADS = min(8, os.cpu_count() or 1)  # decoding images leaves Python's lock free; more hardly help
_AHEAD = _THREADS + 2  # batches in memory or being read; neither number changes what is read


class Batches:
    """Iterate over batches; made by `batches`. The state says which batch comes next, and of which stream.

    Threads read ahead. They end when the iterator is closed or dropped. What goes wrong in them is raised by
    the `next` that wanted the batch, and the same batch comes next again.
    """

    def __init__(self, dataset: "grain.MapDataset", stream: dict[str, Any], begin: list[int]):
        import grain

        options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
        self._iterator = iter(dataset.to_iter_dataset(options))
        self._stream, self._begin = stream, begin

    def __iter__(self) -> "Batches":
        """Return the iterator itself."""
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        """Return the next batch."""
        here = self._iterator.get_state()
        try:
            return next(self._iterator)
        except Exception:
            self._iterator.set_state(here)  # its buffer has lost this batch, and only this one
            raise

    def close(self) -> None:
        """End the threads; nothing can be read any more."""
        self._iterator.close()

    def get_state(self) -> dict[str, Any]:
        """Return the state as a small dict that JSON can hold; the same on every shard."""
        at = {"next_batch": int(self._iterator.get_state()["next_index"]), "begin": self._begin[0]}
        return at | self._stream

    def set_state(self, state: dict[str, Any], accept: Collection[str] = ()) -> None:
        """Go on where `get_state` was called, whatever the number of shards was then.

        Args:
          state: from `get_state` of an iterator with the same data, seed and switches. Its batch size may be
            another where epochs are repeated.
          accept: fields of the state that may be others here, such as ("data", "num_examples") after an image
            was removed: the stream of what there is now goes on at the same number of batches.

        Raises:
          ValueError: if the state belongs to another stream; it names the first difference.
        """
        own = self._stream
        sizes = own["batch_size"], state.get("batch_size", own["batch_size"])
        others = {"batch_size"} if own["repeat"] and isinstance(sizes[1], int) else set()
        for field, value in own.items():
            given = state.get(field, value if field == "data" else None)  # older states do not say which data
            if given != value and field not in {*accept, *others}:
                raise ValueError(
                    f"{field} is {value!r} here, but {given!r} in the state to resume{_WAY.get(field, '')}"
                )
        begin, next_batch = int(state.get("begin", 0)), int(state["next_batch"])  # older states have no begin
        if sizes[0] != sizes[1]:
            begin, next_batch = begin + next_batch * sizes[1], 0
        self._begin[0] = begin
        self._iterator.set_state({"next_index": next_batch})


_CHANGED = ": these are not the data that the run began with; put those back, or begin another run"
_WAY = {"data": _CHANGED, "num_examples": _CHANGED}


@checked
def batches(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    shard_index: int = 0,
    shard_count: int = 1,
    shuffle: bool = True,
    repeat: bool = True,
    flip: bool = False,
) -> Batches:
    """Iterate over a source in batches of fixed size, reading a few ahead in the background.

    Shards stacked in order give the batch that one process would read. With `repeat` no example is ever
    dropped: a batch may hold the end of one epoch and the start of the next. Without it there is one epoch
    and the examples that do not fill a batch are dropped, so that all shards make equally many steps.

    Args:
      source: the data.
      batch_size: the GLOBAL batch size B; a shard reads B / shard_count examples a step.
      seed: of order and flips, 0..2**32-1.
      shard_index: this process, 0..shard_count-1.
      shard_count: number of processes.
      shuffle: a new order every epoch; otherwise the source's own.
      repeat: for ever; otherwise one epoch.
      flip: mirror images from left to right with probability 1/2, anew every epoch.

    Returns:
      An iterator over batches as of `Source.gather`, `{"x": float32 [B / shard_count, ...], "label": int32
      [B / shard_count]}` and arrays of numbers, with `get_state()` and `set_state(state)`; the state knows
      the data by their fingerprint.

    Raises:
      ValueError: if sizes do not divide or fit, or `flip` meets something else than images.
    """
    import grain

    n = len(source)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in 0..2**32-1, got {seed}")
    if not 0 <= shard_index < shard_count:
        raise ValueError(f"shard_index must be in 0..shard_count-1 = 0..{shard_count - 1}, got {shard_index}")
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size must be in 1..{n}, the size of {source.name}, got {batch_size}")
    if batch_size % shard_count:
        raise ValueError(f"batch_size must be a multiple of shard_count {shard_count}, got {batch_size}")
    if flip and source.x.ndim != 4:
        raise ValueError(f"flip needs images [N, H, W, C], but {source.name} has shape {source.x.shape}")

    rows = batch_size // shard_count
    mine = np.arange(shard_index * rows, (shard_index + 1) * rows)
    begin = [0]  # the position of batch 0, since the batch size is what it is

    def read(k: int) -> dict[str, np.ndarray]:
        # A batch is one record of the pipeline: examples cost numpy's time, not Python's.
        epochs, places = np.divmod(begin[0] + k * batch_size + mine, n)
        indices = _by_epoch(_order, seed, n, epochs, places) if shuffle else places
        return source.gather(indices, _by_epoch(_coins, seed, n, epochs, indices) if flip else None)

    dataset = grain.MapDataset.range((sys.maxsize if repeat else n) // batch_size).map(read)
    stream = {"seed": seed, "num_examples": n, "data": source.fingerprint(), "batch_size": batch_size}
    return Batches(dataset, stream | {"shuffle": shuffle, "repeat": repeat, "flip": flip}, begin)


@checked
def epoch(source: Source, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Iterate once over a source in its own order, for evaluation.

    Args:
      source: the data.
      batch_size: number of examples in a batch; the last one may be shorter.

    Returns:
      An iterator over batches as of `batches`.

    Raises:
      ValueError: if `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    everything = np.arange(len(source))
    starts = range(0, len(source), batch_size)
    return (source.gather(everything[start : start + batch_size]) for start in starts)


def _by_epoch(
    make: Callable[[int, int, int], np.ndarray], seed: int, n: int, epochs: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return what `make(seed, n, epoch)`, an array [n], has at the places [B] of their epochs [B]."""
    return np.concatenate([make(seed, n, int(e))[places[epochs == e]] for e in np.unique(epochs)])


@functools.lru_cache(maxsize=4)
def _order(seed: int, n: int, epoch: int) -> np.ndarray:
    """Draw the order of an epoch: int64 [n]."""
    return np.random.default_rng([seed, epoch, 1]).permutation(n)


@functools.lru_cache(maxsize=4)
def _coins(seed: int, n: int, epoch: int) -> np.ndarray:
    """Toss one coin for each example of a data set: bool [n]."""
    return np.random.default_rng([seed, epoch]).random(n, np.float32) < 0.5
