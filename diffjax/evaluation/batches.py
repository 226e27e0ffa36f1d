"""The one loop over the rows of a data set: whole batches, one compilation, every device."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax.data import Source
from diffjax.rows import in_turn, spread
from diffjax.training import progress as shown
from diffjax.training import sharding

_MOST_BYTES = 2**30  # of a data set on a device
Rows = Callable[[np.ndarray], Any]  # int [B] -> a batch, a tree of arrays [B, ...]


def over(
    rows: Rows,
    count: int,
    size: int,
    compute: Callable[..., Any],
    *arguments: Any,
    progress: str | None = None,
    unit: str = "image",
    mesh: Mesh | None = None,
) -> Any:
    """Compute something of every row of a data set, `size` rows at a time.

    The last batch is filled up with the last row, and what was computed of the filling is dropped.

    Args:
      rows: int [B] in 0..count-1 -> a batch, a tree of arrays [B, ...], on the host.
      count: number N of rows.
      size: of a batch, rounded up to a multiple of the devices.
      compute: `(*arguments, batch) -> a tree of [B, ...]`, row by row; it is compiled, unless it is already.
      *arguments: of `compute`, on every device.
      progress: title of the progress bar, or None for no bar.
      unit: of what is counted there.
      mesh: devices that a batch is split over; None: all of them.

    Returns:
      The tree for all rows, numpy arrays [N, ...].

    Raises:
      ValueError: if a count is below 1.
    """
    for name, value in (("count", count), ("batch_size", size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    mesh = sharding.make_mesh() if mesh is None else mesh
    split, whole = NamedSharding(mesh, P(sharding.BATCH_AXES)), NamedSharding(mesh, P())
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    size = -(-size // ways) * ways
    arguments, run, parts = sharding.place(arguments, whole), jax.jit(sharding.told(mesh, compute)), []
    with shown.bar(
        total=count, desc=progress, unit=unit, disable=progress is None or jax.process_index() > 0
    ) as bar:
        for where, chosen in in_turn(count, size):
            found = sharding.fetch(run(*arguments, sharding.place(rows(chosen), split)))
            own = where.stop - where.start
            parts.append(jax.tree.map(lambda leaf: leaf[:own], found))  # noqa: B023
            bar.update(own)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def per_example(
    measure: Callable[..., Any],
    variables: Any,
    source: Source,
    *,
    key: jax.Array,
    batch_size: int = 64,
    progress: str | None = None,
) -> Any:
    """Compute something of every example of a source, each with its own key: nothing depends on the batches.

    Args:
      measure: `(variables, key, batch) -> a tree of [B, ...]`, e.g. of `System.measures`.
      variables: its first argument, an argument of the compiled program.
      source: N examples, with what goes with them.
      key: of the noise; example i is measured with `fold_in(key, i)`.
      batch_size: examples at a time.
      progress: title of the progress bar, or None for no bar.

    Returns:
      The tree for all examples, numpy arrays [N, ...].
    """

    def compute(variables, key, batch):
        def one(i, row):
            alone = jax.tree.map(lambda leaf: leaf[None], row)
            return jax.tree.map(lambda leaf: leaf[0], measure(variables, jax.random.fold_in(key, i), alone))

        return jax.vmap(one)(*batch)

    rows = lambda chosen: (chosen, source.gather(chosen))
    size = min(batch_size, len(source))
    return over(rows, len(source), size, compute, variables, key, progress=progress)


def on_device(source: Source) -> dict[str, np.ndarray]:
    """Return the arrays of a source for a training in memory: pixels as they are, strings left out.

    Of a set that takes more than 1 GiB it is as many rows as do not, spread evenly.
    """
    count = len(source)
    most = max(1, _MOST_BYTES // max(1, int(np.prod(source.shape)) * source.x.dtype.itemsize))
    if count > most:
        source = source.take(spread(most, count))
    arrays = {"x": source.x, **source.arrays} | ({} if source.label is None else {"label": source.label})
    return {name: np.asarray(array) for name, array in arrays.items() if array.dtype.kind != "U"}
