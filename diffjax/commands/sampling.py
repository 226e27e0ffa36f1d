"""Samples pass by pass: each pass over all of them at its own batch size, kept on disk where told."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax import archives, checks, files
from diffjax.data import to_uint8
from diffjax.keys import numbered
from diffjax.rows import in_turn
from diffjax.systems.stages import checksum
from diffjax.training import progress as shown
from diffjax.training import sharding
from diffjax.training.system import Pass, System, Variables, require_passes


class Samples(NamedTuple):
    """What `sample_in_batches` returns.

    Attributes:
      x: uint8 images [N, H, W, C], or float32 points or embeddings [N, ...].
      seconds: the time they took, compilation left out.
      raw: {pass: float32 [N, ...]} of every pass, before rounding.
    """

    x: np.ndarray
    seconds: float
    raw: Mapping[str, np.ndarray]


def sample_in_batches(
    system: System,
    variables: Variables,
    *,
    key: jax.Array,
    num: int,
    batch_size: int,
    request: Mapping[str, Any] | None = None,
    keep: str | Path | None = None,
    identity: str = "",
    progress: str | None = "samples",
    mesh: Mesh | None = None,
) -> Samples:
    """Sample any number of examples, as many at a time as fit.

    Sample i is drawn with `fold_in(key, i)`: it is the same for any batch size and any number of samples and
    devices. The last batch is filled up to the size of the others, so there is one compilation a pass.

    Args:
      system: what samples.
      variables: of `commands.load`.
      key: one key.
      num: number N of samples.
      batch_size: samples at a time, where a pass does not say its own.
      request: what is asked, [N, ...]; None for the system's default.
      keep: folder where the results of several passes are kept, so that the same call again goes on after
        them; `forget` it when the samples are written. None keeps nothing, nor do several processes.
      identity: what else the results depend on besides key, variables, request and numbers: a config.
      progress: title of the progress bar, or None for no bar.
      mesh: devices that a batch is split over; None: all of them.

    Returns:
      Samples.

    Raises:
      ValueError: if the system samples nothing, a count is below 1, the request has another number of rows,
        or a sample is not finite.
    """
    checks.compiling("sampling")
    require_passes(system)
    for name, count in (("num", num), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    request = system.request.default(num) if request is None else request
    for leaf in jax.tree.leaves(request):
        if len(np.shape(leaf)) == 0 or len(leaf) != num:
            raise ValueError(
                f"request must be [{num}, ...], one row a sample, got shape {list(np.shape(leaf))}"
            )
    mesh = sharding.make_mesh() if mesh is None else mesh
    keys = numbered(key, num)
    made, seconds = {}, 0.0
    shelf = None
    if keep and len(system.passes) > 1 and jax.process_count() == 1:
        depends = {"keys": jax.random.key_data(keys), "variables": variables, "request": request}
        shelf = _Shelf(keep, f"{num} {identity} {checksum(depends)}")
    for each in system.passes:
        found = shelf and shelf.get(each.name)
        if found is None:
            size = min(each.batch_size or batch_size, num)
            title = f"{progress}: {each.name}" if progress and len(system.passes) > 1 else progress
            found = _run(each, variables, keys, request, made, size, title, mesh)
            if shelf:
                shelf.put(each.name, *found)
        made[each.name] = found[0]
        seconds += found[1]
    x = made[system.passes[-1].name]
    return Samples(to_uint8(x) if system.gives == "images" else x, seconds, made)


def forget(keep: str | Path) -> None:
    """Remove what `sample_in_batches` kept, if anything: its samples are written."""
    shutil.rmtree(keep, ignore_errors=True)


def on_mesh(each: Pass, mesh: Mesh) -> Any:
    """Return the jitted `each.run`: every device has all variables and some of the rows."""
    split, whole = NamedSharding(mesh, P(sharding.BATCH_AXES)), NamedSharding(mesh, P())
    run = sharding.told(mesh, each.run)
    return jax.jit(run, in_shardings=(whole, split, split, split), out_shardings=split)


def _run(each: Pass, variables, keys, request, made, size, title, mesh) -> tuple[np.ndarray, float]:
    """Run one pass over all samples, `size` at a time."""
    num, ways = len(keys), mesh.shape["data"] * mesh.shape["fsdp"]
    size = -(-size // ways) * ways
    split, whole = NamedSharding(mesh, P(sharding.BATCH_AXES)), NamedSharding(mesh, P())
    variables = sharding.place(variables, whole)
    run = on_mesh(each, mesh)

    def rows(chosen):
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], (request, made))
        return sharding.place((keys[chosen], *own), split)

    run = run.lower(variables, *rows(np.zeros(size, int))).compile()
    parts, begin = [], time.perf_counter()
    with shown.bar(
        total=num, desc=title, unit="sample", disable=title is None or jax.process_index() > 0
    ) as bar:
        for where, chosen in in_turn(num, size):
            x = sharding.fetch(run(variables, *rows(chosen)))[: where.stop - where.start].astype(np.float32)
            if not np.isfinite(x).all():
                raise ValueError(f"{np.sum(~np.isfinite(x))} of {x.size} sampled values are not finite")
            parts.append(x)
            bar.update(len(x))
    return np.concatenate(parts), time.perf_counter() - begin


class _Shelf:
    """Results of passes in a folder of their own for each way of asking for them."""

    def __init__(self, folder: str | Path, identity: str):
        self.folder = Path(folder) / hashlib.sha256(identity.encode()).hexdigest()[:16]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '.')}.npz"

    def get(self, name: str) -> tuple[np.ndarray, float] | None:
        with contextlib.suppress(ValueError):  # a damaged result, as one that is not there, is made anew
            kept = archives.read(self._path(name), ("x", "seconds"))
            return kept["x"], float(kept["seconds"])
        return None

    def put(self, name: str, x: np.ndarray, seconds: float) -> None:
        with files.whole(self._path(name)) as file:
            np.savez(file, x=x, seconds=seconds)
