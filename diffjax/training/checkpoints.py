"""Checkpoints in `workdir/checkpoints/<step>`, written in the background, complete or not there at all.

`layout` says what is in one, `reading` reads parameters from it. A folder whose name ends in
`.orbax-checkpoint-tmp` was cut off while it was written; the next run removes it. One that is no longer kept
moves to `checkpoints/deleted` first, so that none is ever half there. One that was damaged later, which
`checksums.json` in it tells, is renamed to `<step>.damaged` by the next run, which goes on from the
checkpoint before.
"""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from diffjax.training import complaints, layout, seal, trees
from diffjax.training.reading import best_step as best_step
from diffjax.training.reading import latest_step as latest_step
from diffjax.training.reading import restore_params as restore_params
from diffjax.training.reading import restore_params_and_step as restore_params_and_step
from diffjax.training.reading import restore_served as restore_served
from diffjax.training.reading import steps as steps
from diffjax.training.state import TrainState
from diffjax.training.stopping import agree
from diffjax.training.trees import read_tree as read_tree
from diffjax.training.trees import write_tree as write_tree

_DELETED = "deleted"


def open_manager(workdir: str | Path, *, keep: int = 2, best_metric: str = "loss") -> ocp.CheckpointManager:
    """Open the checkpoints of a run for writing; close it, or use it in a `with`, to wait for the last one.

    Args:
      workdir: the run's folder.
      keep: how many of the latest checkpoints stay. The best one stays besides.
      best_metric: the metric whose lowest value makes a checkpoint the best; one saved without it never is.

    Returns:
      The manager. Every process opens it, and every process calls `save`.

    Raises:
      ValueError: if `keep` is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} must be at least 1: the latest checkpoint is what a run resumes from")

    complaints.silence()

    def metric(metrics: Mapping[str, float]) -> float:
        value = metrics.get(best_metric, math.inf)
        return value if math.isfinite(value) else math.inf

    root = layout.root(workdir)

    def before_it_is_renamed():
        if jax.process_index() == 0:
            for folder in _unfinished(root):  # there is one
                seal.write(folder)

    options = ocp.CheckpointManagerOptions(
        # Not max_to_keep with best_fn: that pair deletes the latest checkpoint when it is not among the best.
        preservation_policy=AnyPreservationPolicy(
            [
                LatestN(keep),
                BestN(get_metric_fn=metric, reverse=True, n=1, keep_checkpoints_without_metrics=False),
            ]
        ),
        best_fn=metric,
        best_mode="min",
        cleanup_tmp_directories=True,
        todelete_subdir=_DELETED,
        async_options=ocp.AsyncOptions(post_finalization_callback=before_it_is_renamed),
    )
    _delete(root)
    return ocp.CheckpointManager(root, options=options, item_names=layout.ITEMS)


@contextlib.contextmanager
def writing(
    workdir: str | Path, *, keep: int = 2, best_metric: str = "loss"
) -> Iterator[ocp.CheckpointManager]:
    """Open the checkpoints of a run as `open_manager` does, and waits for the last one to be written.

    Raises:
      OSError: if it could not be written.
    """
    manager = open_manager(workdir, keep=keep, best_metric=best_metric)
    try:
        yield manager
        check_written(manager, wait=True)
    except BaseException:
        _close(manager)
        complaints.release()
        if jax.process_index() == 0:
            for folder in _unfinished(layout.root(workdir)):
                shutil.rmtree(folder, ignore_errors=True)
        raise
    _close(manager)


def _close(manager):
    with contextlib.suppress(Exception):  # what went wrong in the background is raised by `check_written`
        manager.close()
    _delete(Path(manager.directory))


def _delete(root: Path) -> None:
    """Delete the checkpoints that are no longer kept."""
    if jax.process_index() == 0:
        shutil.rmtree(root / _DELETED, ignore_errors=True)


def _unfinished(root: Path) -> list[Path]:
    return list(root.glob("*.orbax-checkpoint-tmp*"))


def check_space(workdir: str | Path, state: TrainState, keep: int) -> None:
    """Check that the disk has room for the checkpoints a run keeps.

    Args:
      workdir: the run's folder, or where it will be.
      state: shapes and dtypes.
      keep: see `open_manager`; the best checkpoint and the one being written come on top, those that are
        there already need no further room.

    Raises:
      OSError: if not; it says what is needed and what is free.
    """
    size = trees.size_of(state)
    path = Path(workdir).absolute()
    exists = next(folder for folder in (path, *path.parents) if folder.exists())
    count, free = max(1, keep + 2 - len(steps(workdir))), shutil.disk_usage(exists).free
    if count * size > free:
        raise OSError(
            f"not enough room in {workdir}: {count} more checkpoints of {_bytes(size)} need "
            f"{_bytes(count * size)} and {_bytes(free)} are free; lower training.keep or free some"
        )


def _bytes(count):
    unit, power = next((pair for pair in (("GiB", 30), ("MiB", 20)) if count >= 2 ** pair[1]), ("KiB", 10))
    return f"{count / 2**power:,.1f} {unit}"


def save(
    manager: ocp.CheckpointManager,
    step: int,
    state: TrainState,
    *,
    data: Any,
    meta: Any,
    metrics: Mapping[str, float],
) -> None:
    """Begin to write a checkpoint and returns once the arrays are copied.

    Args:
      manager: of `open_manager`.
      step: updates made so far, `state.step` as a Python int.
      state: the state; it may be donated as soon as this returns.
      data: position of the batches, anything JSON holds. It must be the same on every process.
      meta: anything else JSON holds.
      metrics: what the best checkpoint is chosen by; empty if it shall not be the best.

    Raises:
      OSError: if this checkpoint or the one before could not be written.
    """
    train = {"step": state.step, "opt_state": state.opt_state}
    items = ocp.args.Composite(
        params=ocp.args.StandardSave(state.params),
        ema=ocp.args.StandardSave(state.ema),
        # which may be empty, and orbax does not like items without arrays
        extra=ocp.args.StandardSave({"extra": state.extra, "step": state.step}),
        train=ocp.args.StandardSave(train),
        data=ocp.args.JsonSave(data),
        meta=ocp.args.JsonSave(meta),
    )
    with _writing(manager):
        manager.wait_until_finished()
        _delete(Path(manager.directory))
        manager.save(step, args=items, metrics=dict(metrics), force=True)


@contextlib.contextmanager
def _writing(manager):
    """Turn what goes wrong while a checkpoint is written, here or in the background, into one OSError."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise OSError(f"could not write a checkpoint in {manager.directory}: {reason}") from error


def check_written(manager: ocp.CheckpointManager, wait: bool = False) -> None:
    """Tell of a checkpoint that could not be written in the background.

    Args:
      manager: of `open_manager`.
      wait: wait for the one that is being written, if there is one.

    Raises:
      OSError: if there is such a checkpoint.
    """
    with _writing(manager):
        manager.wait_until_finished() if wait else manager.check_for_errors()


def restore(workdir: str | Path, abstract: TrainState) -> tuple[int, TrainState, Any, Any] | None:
    """Read the latest checkpoint that can be read.

    Damaged ones are renamed to `<step>.damaged`, with a warning, so that their steps can be saved again.

    Args:
      workdir: the run's folder, open in no manager yet. Every process calls this.
      abstract: the state's shapes, dtypes and places; the mesh may differ from the one that wrote it.

    Returns:
      Its step, the state, and `data` and `meta` as they were saved; None if there is no checkpoint.

    Raises:
      ValueError: if there are checkpoints and none of them can be read as what `abstract` describes.
    """
    root = layout.root(workdir)
    existing = layout.folders(root)
    if not existing:
        return None
    if any(layout.is_older(root / str(step)) for step in existing):
        raise ValueError(
            f"the checkpoints in {workdir} are of an older layout: they can be sampled and evaluated, not "
            "trained on; name a new workdir"
        )
    train = {"step": abstract.step, "opt_state": abstract.opt_state}
    args = ocp.args.Composite(
        params=ocp.args.StandardRestore(abstract.params),
        ema=ocp.args.StandardRestore(abstract.ema),
        extra=ocp.args.StandardRestore({"extra": abstract.extra, "step": abstract.step}),
        train=ocp.args.StandardRestore(train),
        data=ocp.args.JsonRestore(),
        meta=ocp.args.JsonRestore(),
    )

    complaints.silence()

    def load(folder):
        layout.check(folder)
        seal.check(folder, layout.ITEMS)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            items = reader.restore(folder, args=args)
        state = TrainState(params=items.params, ema=items.ema, **{**items.extra, **items.train})
        return state, items.data, items.meta

    def read(folder):
        found, reason = layout.trouble(load, folder)
        if agree(bool(reason)):
            raise ValueError(reason or "another process cannot read it")
        return found

    found, step, damaged = layout.first_readable(root, existing[::-1], read)
    older = {each: layout.trouble(layout.check, root / str(each))[1] for each in existing if each < step}
    _set_aside(root, damaged | {each: reason for each, reason in older.items() if reason}, step)
    return step, *found


def _set_aside(root: Path, damaged: Mapping[int, str], step: int) -> None:
    """Rename damaged checkpoints: nothing is deleted that somebody may want to look at."""
    if jax.process_index() == 0:
        for each, reason in damaged.items():
            target = layout.set_aside(root, each, "damaged")
            logging.warning(
                "checkpoint %s is damaged (%s): renamed to %s, going on from step %d",
                root / str(each), reason, target.name, step,
            )  # fmt: skip
    agree(False)  # nobody goes on before the folders are renamed
