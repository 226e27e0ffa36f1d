"""Folders that commands write to: refused before the work, and changed only when all of it is there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffjax.training import workdir


def writable(folder: str | Path) -> Path:
    """Make a folder, or raise before the work begins if it cannot be made or written.

    Raises:
      ValueError: naming the folder.
    """
    folder = workdir.local(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"out {folder} cannot be written: {error.strerror or error}") from error
    return folder


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Yield an empty folder whose files and folders take their places in another one when all are written.

    Whatever ends it early, a full disk or Ctrl-C, leaves what was there before: numbers and pictures in a
    folder are always of one evaluation.

    Args:
      folder: where they go. A folder takes the place of one of the same name, with all that is in it.

    Raises:
      OSError: naming the file that could not be written.
    """
    scratch = folder / f".unfinished.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with workdir.naming(folder):
            scratch.mkdir()
        yield scratch
        with workdir.naming(folder):
            for new in sorted(scratch.iterdir()):
                old = folder / new.name
                if old.is_dir():
                    shutil.rmtree(old)
                new.replace(old)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
