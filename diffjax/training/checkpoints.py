"""Checkpoints in `workdir/checkpoints/<step>`, written in the background, complete or not there at all.

Each holds the items `params`, `ema`, `extra`, `train` (step, optimizer states), `data` (position of the
batches) and `meta` (what the log needs to go on). Parameters are items of their own so that they can be read
without knowing anything else. A folder whose name ends in `.orbax-checkpoint-tmp` was cut off while being
written; it counts for nothing and the next run removes it. One that was damaged later, which `checksums.json`
in it tells, is renamed to `<step>.damaged` by the next run, which goes on from the checkpoint before.
"""

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from diffjax.training import seal
from diffjax.training.ema import TRACK
from diffjax.training.state import TrainState
from diffjax.training.stopping import agree

ITEMS = ("params", "ema", "extra", "train", "data", "meta")
_OLDER = ("params", "ema", "train", "data", "meta")  # what a checkpoint had before params had names


def open_manager(workdir: str | Path, *, keep: int = 2, best_metric: str = "loss") -> ocp.CheckpointManager:
    """Opens the checkpoints of a run for writing; close it, or use it in a `with`, to wait for the last one.

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

    def metric(metrics: Mapping[str, float]) -> float:
        return metrics.get(best_metric, math.inf)

    root = _root(workdir).absolute()

    def before_it_is_renamed():
        if jax.process_index() == 0:
            for folder in root.glob("*.orbax-checkpoint-tmp*"):  # there is one
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
        async_options=ocp.AsyncOptions(post_finalization_callback=before_it_is_renamed),
    )
    return ocp.CheckpointManager(root, options=options, item_names=ITEMS)


@contextlib.contextmanager
def writing(
    workdir: str | Path, *, keep: int = 2, best_metric: str = "loss"
) -> Iterator[ocp.CheckpointManager]:
    """Opens the checkpoints of a run as `open_manager` does, and waits for the last one to be written.

    Raises:
        OSError: if it could not be written.
    """
    manager = open_manager(workdir, keep=keep, best_metric=best_metric)
    try:
        yield manager
        check_written(manager, wait=True)
    finally:
        with contextlib.suppress(Exception):  # what went wrong in the background was raised above
            manager.close()


def check_space(workdir: str | Path, state: TrainState, keep: int) -> None:
    """Checks that the disk has room for the checkpoints a run keeps.

    Args:
        workdir: the run's folder, or where it will be.
        state: shapes and dtypes.
        keep: see `open_manager`; the best checkpoint and the one being written come on top, those that are
            there already need no further room.

    Raises:
        OSError: if not; it says what is needed and what is free.
    """
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
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
    """Begins to write a checkpoint and returns once the arrays are copied.

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
        extra=ocp.args.StandardSave({"extra": state.extra}),  # which may be empty: an item may not
        train=ocp.args.StandardSave(train),
        data=ocp.args.JsonSave(data),
        meta=ocp.args.JsonSave(meta),
    )
    with _writing(manager):
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
    """Tells of a checkpoint that could not be written in the background.

    Args:
        manager: of `open_manager`.
        wait: wait for the one that is being written, if there is one.

    Raises:
        OSError: if there is such a checkpoint.
    """
    with _writing(manager):
        manager.wait_until_finished() if wait else manager.check_for_errors()


def restore(workdir: str | Path, abstract: TrainState) -> tuple[int, TrainState, Any, Any] | None:
    """Reads the latest checkpoint that can be read.

    Damaged ones are renamed to `<step>.damaged`, with a warning, so that their steps can be saved again.

    Args:
        workdir: the run's folder, open in no manager yet. Every process calls this.
        abstract: the state's shapes, dtypes and places; the mesh may differ from the one that wrote it.

    Returns:
        Its step, the state, and `data` and `meta` as they were saved; None if there is no checkpoint.

    Raises:
        ValueError: if there are checkpoints and none of them can be read as what `abstract` describes.
    """
    root = _root(workdir).absolute()
    existing = _folders(root)
    if not existing:
        return None
    if is_older(root / str(existing[-1])):
        raise ValueError(
            f"the checkpoints in {workdir} are of an older layout: they can be sampled and evaluated, not "
            "trained on; name a new workdir"
        )
    train = {"step": abstract.step, "opt_state": abstract.opt_state}
    args = ocp.args.Composite(
        params=ocp.args.StandardRestore(abstract.params),
        ema=ocp.args.StandardRestore(abstract.ema),
        extra=ocp.args.StandardRestore({"extra": abstract.extra}),
        train=ocp.args.StandardRestore(train),
        data=ocp.args.JsonRestore(),
        meta=ocp.args.JsonRestore(),
    )

    def load(folder):
        _check(folder)
        seal.check(folder, ITEMS)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            items = reader.restore(folder, args=args)
        state = TrainState(params=items.params, ema=items.ema, **items.extra, **items.train)
        return state, items.data, items.meta

    def read(folder):
        found, reason = _trouble(load, folder)
        if agree(bool(reason)):
            raise ValueError(reason or "another process cannot read it")
        return found

    found, step, damaged = _first_readable(root, existing[::-1], read)
    older = {each: _trouble(_check, root / str(each))[1] for each in existing if each < step}
    _set_aside(root, damaged | {each: reason for each, reason in older.items() if reason}, step)
    return step, *found


def steps(workdir: str | Path) -> list[int]:
    """Lists the complete checkpoints of a run; whether their files can be read is found on reading.

    Args:
        workdir: the run's folder.

    Returns:
        Their steps, rising; empty where there are none.
    """
    root = _root(workdir)
    return [step for step in _folders(root) if not _trouble(_check, root / str(step))[1]]


def latest_step(workdir: str | Path) -> int | None:
    """Finds the latest complete checkpoint of a run.

    Args:
        workdir: the run's folder.

    Returns:
        Its step, or None where there is none.
    """
    return max(steps(workdir), default=None)


def best_step(workdir: str | Path, metric: str = "loss") -> int:
    """Find the best checkpoint of a run that is still there.

    Args:
      workdir: the run's folder.
      metric: the lowest is the best.

    Returns:
      Its step.

    Raises:
      ValueError: if no checkpoint has this metric.
    """
    scores = {}
    for step in steps(workdir):
        path = _root(workdir) / str(step) / "metrics" / "metrics"
        if path.exists():
            scores |= {step: value for name, value in json.loads(path.read_bytes()).items() if name == metric}
    if not scores:
        raise ValueError(f"workdir {workdir} has no checkpoint with the metric {metric!r}: there is no best")
    return min(scores, key=scores.__getitem__)


def restore_params(workdir: str | Path, ema: bool | str = True, step: int | None = None) -> Any:
    """Reads the parameters of a run; neither its architecture nor its devices need to be known.

    Args:
        workdir: the run's folder.
        ema: True for the moving average, False for the parameters as they were trained; a run that follows
            several averages has each by its name.
        step: which checkpoint; None: the latest that can be read, with a warning if it is not the latest.

    Returns:
        {name: tree} of arrays on the default device, "network" where there is one; the average has what
        the system serves.

    Raises:
        ValueError: if there is no such folder, no complete checkpoint in it, none of that step, or it is
            damaged.
    """
    return restore_params_and_step(workdir, ema, step)[0]


def restore_params_and_step(
    workdir: str | Path, ema: bool | str = True, step: int | None = None
) -> tuple[Any, int]:
    """Do what `restore_params` does, and say of which step the parameters are."""

    def read(folder):
        if not ema:
            return _read_item(folder, "params")
        tracks = _read_item(folder, "ema")
        if is_older(folder):
            return tracks
        track = next(iter(tracks)) if ema is True and len(tracks) == 1 else TRACK if ema is True else ema
        if track not in tracks:
            raise ValueError(f"it has no average {track!r}, but {', '.join(sorted(tracks))}")
        return tracks[track]

    return _restore_numpy(workdir, step, read)


def restore_served(
    workdir: str | Path, names: Sequence[str], ema: bool | str = True, step: int | None = None
) -> tuple[dict[str, Any], int]:
    """Read what a system serves, params and extra alike.

    Args:
      workdir, ema, step: see `restore_params`.
      names: of params and extra.

    Returns:
      {name: tree}, and of which step they are. A checkpoint of an older layout gives its one tree as it is.

    Raises:
      ValueError: as `restore_params`, or if a name is not there.
    """
    if ema:
        return restore_params_and_step(workdir, ema, step)

    def read(folder):
        params = _read_item(folder, "params")
        if is_older(folder):
            return params
        rest = [name for name in names if name not in params]
        return params | (_read_item(folder, "extra")["extra"] if rest else {})

    values, step = _restore_numpy(workdir, step, read)
    return values, step


def _restore_numpy(workdir, step, read):
    if not Path(workdir).is_dir():
        raise ValueError(f"no such workdir: {workdir}")
    root = _root(workdir).absolute()
    existing = _folders(root)
    if not existing:
        raise ValueError(f"workdir {workdir} has no complete checkpoint in {_root(workdir)}")
    if step is not None and step not in existing:
        raise ValueError(f"workdir {workdir} has no checkpoint of step={step}; it has {existing}")
    found, step, damaged = _first_readable(root, existing[::-1] if step is None else [step], read)
    for each, reason in damaged.items():
        path = root / str(each)
        logging.warning("checkpoint %s is damaged (%s): step %d is read instead", path, reason, step)
    return found, step


def _read_item(folder: Path, item: str) -> Any:
    """Read one item of a checkpoint, wherever it was written."""
    _check(folder)
    seal.check(folder, [item])
    return read_tree(folder / item)


def read_tree(path: Path) -> Any:
    """Read a tree of arrays that orbax wrote, on the default device: the writing ones need not exist."""
    handler = ocp.PyTreeCheckpointHandler()
    # As numpy: otherwise orbax would look for the devices that wrote it.
    kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path).tree)
    return jax.tree.map(jnp.asarray, handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=kinds)))


def write_tree(path: Path, tree: Any) -> None:
    """Write a tree of arrays for `read_tree`; the folder must not exist."""
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as writer:
        writer.save(path.absolute(), args=ocp.args.StandardSave(jax.tree.map(np.asarray, tree)))


def is_older(folder: Path) -> bool:
    """Say whether a checkpoint was written before parameters had names."""
    return not (folder / "extra").is_dir() and all((folder / item).is_dir() for item in _OLDER)


def _folders(root: Path) -> list[int]:
    """List the steps that have a folder, damaged or not."""
    if not root.is_dir():
        return []
    return sorted(int(path.name) for path in root.iterdir() if path.name.isdigit() and path.is_dir())


def _check(folder: Path) -> None:
    """Raise if something is missing, or if the manager could not even list this checkpoint."""
    for item in _OLDER if is_older(folder) else ITEMS:
        if not (folder / item).is_dir():
            raise ValueError(f"it has no {item}")
    metrics = folder / "metrics" / "metrics"
    if metrics.exists() and not isinstance(json.loads(metrics.read_bytes()), dict):
        raise ValueError("its metrics are no dict")


def _first_readable(
    root: Path, candidates: Sequence[int], read: Callable[[Path], Any]
) -> tuple[Any, int, dict[int, str]]:
    """Return what the first candidate that can be read holds, its step, and what ails those before it."""
    damaged = {}
    for step in candidates:
        found, reason = _trouble(read, root / str(step))
        if not reason:
            return found, step, damaged
        damaged[step] = reason
    *others, last = (str(root / str(step)) for step in sorted(damaged))
    which = f"checkpoints {', '.join(others)} and {last} are" if others else f"checkpoint {last} is"
    raise ValueError(f"{which} damaged or of another model: {damaged[candidates[0]]}")


def _trouble(read: Callable[[Path], Any], folder: Path) -> tuple[Any, str]:
    """Return what `read` does and an empty reason, or nothing and the reason why it failed."""
    try:
        return read(folder), ""
    except PermissionError:  # not damaged
        raise
    except Exception as error:  # orbax and tensorstore raise all kinds
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        return None, f"{kind}{' '.join(str(error).split())[:200]}" or "no reason given"


def _set_aside(root: Path, damaged: Mapping[int, str], step: int) -> None:
    """Rename damaged checkpoints: nothing is deleted that somebody may want to look at."""
    if jax.process_index() == 0:
        for each, reason in damaged.items():
            target = root / f"{each}.damaged"
            shutil.rmtree(target, ignore_errors=True)
            (root / str(each)).rename(target)
            logging.warning(
                "checkpoint %s is damaged (%s): renamed to %s, going on from step %d",
                root / str(each), reason, target.name, step,
            )  # fmt: skip
    agree(False)  # nobody goes on before the folders are renamed


def _root(workdir: str | Path) -> Path:
    return Path(workdir) / "checkpoints"
