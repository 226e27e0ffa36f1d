"""What the folder of a checkpoint holds, and which of a run's checkpoints can be read.

`workdir/checkpoints/<step>` has the items `params`, `ema`, `extra`, `train` (step, optimizer states), `data`
(position of the batches) and `meta` (what the log needs to go on): folders each, so that parameters can be
read without knowing anything else. A folder whose name ends in `.orbax-checkpoint-tmp` was cut off while it
was written and counts for nothing; `<step>.damaged` was set aside by `checkpoints.restore`.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from diffjax import files
from diffjax.training import seal
from diffjax.training.workdir import local

Read = TypeVar("Read")

ITEMS = ("params", "ema", "extra", "train", "data", "meta")
OLDER = ("params", "ema", "train", "data", "meta")  # what a checkpoint had before params had names


def root(workdir: str | Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return (local(workdir) / "checkpoints").absolute()


def folders(root: Path) -> list[int]:
    """Return the steps that have a folder, rising, damaged or not."""
    if not root.is_dir():
        return []
    return sorted(int(path.name) for path in root.iterdir() if path.name.isdigit() and path.is_dir())


def set_aside(root: Path, step: int, why: str) -> Path:
    """Rename the checkpoint of a step to `<step>.<why>`, in the place of one that is there; return it."""
    target = root / f"{step}.{why}"
    shutil.rmtree(target, ignore_errors=True)
    (root / str(step)).rename(target)
    return target


def is_older(folder: Path) -> bool:
    """Say whether a checkpoint is of before parameters had names; one that lost its `extra` is not."""
    if (folder / "extra").is_dir() or not all((folder / item).is_dir() for item in OLDER):
        return False
    contents = (folder / "_CHECKPOINT_METADATA", folder / seal.FILE)
    return not any(b'"extra' in path.read_bytes() for path in contents if path.is_file())


def check(folder: Path) -> None:
    """Check that nothing is missing, and that a manager could list this checkpoint.

    Raises:
      ValueError: if not.
    """
    for item in OLDER if is_older(folder) else ITEMS:
        if not (folder / item).is_dir():
            raise ValueError(f"it has no {item}")
    metrics = folder / "metrics" / "metrics"
    if metrics.exists() and not isinstance(json.loads(metrics.read_bytes()), dict):
        raise ValueError("its metrics are no dict")


def trouble(read: Callable[[Path], Read], folder: Path) -> tuple[Read | None, str]:
    """Return what `read` does and an empty reason, or nothing and the reason why it failed."""
    try:
        return read(folder), ""
    except PermissionError:  # not damaged
        raise
    except Exception as error:  # orbax and tensorstore raise all kinds
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        return None, kind + files.one_line(error)


def first_readable(
    root: Path, candidates: Sequence[int], read: Callable[[Path], Any]
) -> tuple[Any, int, dict[int, str]]:
    """Read the first checkpoint that can be read.

    Args:
      root: of the checkpoints.
      candidates: their steps, the most wanted one first.
      read: folder -> what it holds.

    Returns:
      What `read` returned, of which step, and {step: reason} of those before it.

    Raises:
      ValueError: if none can be read.
    """
    damaged: dict[int, str] = {}
    for step in candidates:
        found, reason = trouble(read, root / str(step))
        if not reason:
            return found, step, damaged
        damaged[step] = reason
    *others, last = (str(root / str(step)) for step in sorted(damaged))
    which = f"checkpoints {', '.join(others)} and {last} are" if others else f"checkpoint {last} is"
    raise ValueError(f"{which} damaged or of another model: {damaged[candidates[0]]}")
