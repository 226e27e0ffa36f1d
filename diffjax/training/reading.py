"""Checkpoints read by others than who wrote them: neither architecture nor devices need to be known."""

import contextlib
import json
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from diffjax import files
from diffjax.training import ema as averages
from diffjax.training import layout, post_hoc, seal
from diffjax.training.trees import read_tree


def steps(workdir: str | Path) -> list[int]:
    """Return the steps of a run's complete checkpoints, rising; that files are sound is found on reading.

    Args:
      workdir: the run's folder.
    """
    root = layout.root(workdir)
    return [step for step in layout.folders(root) if not layout.trouble(layout.check, root / str(step))[1]]


def latest_step(workdir: str | Path) -> int | None:
    """Return the step of a run's latest complete checkpoint, None where there is none.

    Args:
      workdir: the run's folder.
    """
    return max(steps(workdir), default=None)


def best_step(workdir: str | Path, metric: str = "loss") -> int:
    """Return the step of a run's best checkpoint that is still there.

    Args:
      workdir: the run's folder.
      metric: the lowest is the best.

    Raises:
      ValueError: if no checkpoint has this metric.
    """
    scores = {}
    for step in steps(workdir):
        with contextlib.suppress(FileNotFoundError):  # saved without, or deleted meanwhile
            value = json.loads((layout.root(workdir) / str(step) / "metrics" / "metrics").read_bytes()).get(
                metric
            )
            scores |= {step: value} if value is not None and math.isfinite(value) else {}
    if not scores:
        raise ValueError(f"workdir {workdir} has no checkpoint with the metric {metric!r}: there is no best")
    return min(scores, key=scores.__getitem__)


def restore_params(workdir: str | Path, ema: bool | str = True, step: int | None = None) -> Any:
    """Read the parameters of a run.

    Args:
      workdir: the run's folder.
      ema: True for the moving average, False for the parameters as they were trained; a run that follows
        several averages has each by its name.
      step: which checkpoint; None: the latest that can be read, with a warning if it is not the latest.

    Returns:
      {name: tree} of arrays on the default device, "network" where there is one; the average has what the
      system serves.

    Raises:
      ValueError: if there is no such folder, no complete checkpoint in it, none of that step, no average of
        that name, or it is damaged.
    """
    return restore_params_and_step(workdir, ema, step)[0]


def restore_params_and_step(
    workdir: str | Path, ema: bool | str = True, step: int | None = None
) -> tuple[Any, int]:
    """Do what `restore_params` does, and say of which step the parameters are."""
    (tree, older), step = _restore(workdir, step, lambda folder: _item(folder, "ema" if ema else "params"))
    return (tree if older or not ema else _track(workdir, tree, ema)), step


def restore_served(
    workdir: str | Path, names: Sequence[str], ema: bool | str | float = True, step: int | None = None
) -> tuple[dict[str, Any], int]:
    """Read what a system serves, of params and extra alike.

    Args:
      workdir, step: see `restore_params`.
      names: of params and extra.
      ema: see `restore_params`; a number is the relative width of an average that is made now (`post_hoc`).

    Returns:
      {name: tree}, and of which step they are. A checkpoint of an older layout gives its one tree as it is.

    Raises:
      ValueError: as `restore_params`, or if a name is not there.
    """

    def read(folder):
        params, older = _item(folder, "params")
        if older or not set(names) - set(params):
            return params, older
        return params | _item(folder, "extra")[0]["extra"], older

    if isinstance(ema, float):
        values = post_hoc.average(workdir, ema, step)
        older, step = False, step if step is not None else max(post_hoc.steps(workdir))
    elif ema:
        (values, older), step = _restore(workdir, step, lambda folder: _item(folder, "ema"))
        values = values if older else _track(workdir, values, ema)
    else:
        (values, older), step = _restore(workdir, step, read)
    if older:
        return values, step
    for name in names:
        if name not in values:
            there = ", ".join(sorted(values))
            raise ValueError(f"step {step} in workdir {workdir} has no {name!r}, but {there}")
    return {name: values[name] for name in names}, step


def _restore(workdir: str | Path, step: int | None, read: Callable[[Path], Any]) -> tuple[Any, int]:
    """Return what `read` makes of a checkpoint's folder, and of which step it is."""
    root = layout.root(workdir)
    if not root.parent.is_dir():
        raise ValueError(f"no such workdir: {workdir}")
    while True:
        existing = layout.folders(root)
        if not existing:
            raise ValueError(f"workdir {workdir} has no complete checkpoint in {Path(workdir) / root.name}")
        if step is not None and step not in existing:
            raise ValueError(f"workdir {workdir} has no checkpoint of step={step}; it has {existing}")
        try:
            found, own, damaged = layout.first_readable(
                root, existing[::-1] if step is None else [step], read
            )
        except ValueError:
            if _replaced(root, existing):
                continue
            raise
        if damaged and _replaced(root, existing):
            continue
        for each, reason in damaged.items():
            path = root / str(each)
            logging.warning("checkpoint %s is damaged (%s): step %d is read instead", path, reason, own)
        return found, own


def _replaced(root: Path, before: list[int]) -> bool:
    """Say whether a run in training has made or deleted checkpoints since they were listed."""
    time.sleep(0.1)  # a deletion may be under way: the checkpoint that takes its place is there
    return layout.folders(root) != before


def _item(folder: Path, item: str) -> tuple[Any, bool]:
    """Return one item of a checkpoint, and whether that is of the older layout."""
    layout.check(folder)
    older = layout.is_older(folder)
    with _held(folder, item) as own:
        seal.check(own, [item])
        tree = read_tree(own / item)
    if older and not layout.is_older(folder):
        raise ValueError("it was deleted while it was read")
    return tree, older


@contextlib.contextmanager
def _held(folder: Path, item: str) -> Iterator[Path]:
    """Give a folder with an item's files and their seal, which stay when the run in training deletes its own.

    They are hard links; where the file system has none, or may not be written, it is the folder itself. What
    a reader that was killed left is removed.
    """
    with contextlib.ExitStack() as stack:
        try:
            workdir, mine = folder.parents[1], f".reading-{platform.node()}."
            for left in workdir.glob(f"{mine}*"):
                if not files.runs(left.name.removeprefix(mine).partition("-")[0]):
                    shutil.rmtree(left, ignore_errors=True)
            prefix = f"{mine}{os.getpid()}-"
            own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=workdir)))
            for path in (folder / seal.FILE, *(folder / item).rglob("*")):
                target = own / path.relative_to(folder)
                if path.is_dir():
                    target.mkdir(parents=True)
                elif path.exists() or path.name != seal.FILE:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.link(path, target)
        except FileNotFoundError:  # deleted already
            raise
        except OSError:
            own = folder
        yield own


def _track(workdir: str | Path, tracks: Any, ema: bool | str | float) -> Any:
    name = averages.main(tracks) if ema is True else ema
    if name not in tracks:
        there = ", ".join(sorted(tracks))
        raise ValueError(f"ema={ema!r} must be a bool or one of {there}, in workdir {workdir}")
    return tracks[name]
