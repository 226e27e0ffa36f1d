"""Folders that commands write to: refused before the work, and changed only when all of it is there."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffjax import files
from diffjax.training import workdir


def writable(folder: str | Path) -> Path:
    """Make a folder, or raise before the work begins if it cannot be made or written.

    The first of several processes does, and what it raises ends all of them.

    Raises:
      ValueError: naming the folder.
    """
    folder = workdir.local(folder)
    with workdir.first_process(folder) as first:
        if first:
            workdir.try_writing("out", folder)
    return folder


@contextmanager
def together(folder: Path, *names: str) -> Iterator[Path]:
    """Yield an empty folder whose files and folders take their places in another one when all are written.

    Whatever ends it early, a full disk or Ctrl-C, leaves what was there before: numbers and pictures in a
    folder are always of the same samples. What a command that was killed left half-written is removed.

    Args:
      folder: where they go.
      *names: of files and folders that belong together; what there was of them before is removed.

    Raises:
      OSError: naming the file that could not be written.
    """
    mine = f".unfinished.{platform.node()}."
    for left in folder.glob(f"{mine}*"):
        if not files.runs(left.name.removeprefix(mine)):
            shutil.rmtree(left, ignore_errors=True)
    scratch = folder / f"{mine}{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with workdir.naming(folder):
            scratch.mkdir()
        yield scratch
        with workdir.naming(folder):
            for name in names:
                if (folder / name).is_dir():
                    shutil.rmtree(folder / name)
                elif not (scratch / name).exists():
                    (folder / name).unlink(missing_ok=True)
                if (scratch / name).exists():
                    (scratch / name).replace(folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
