"""Files that are either whole or as they were."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from diffjax.training import workdir


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file whose content takes the place of `path` when all of it is on the disk.

    Args:
      path: the file; its folder is made.

    Raises:
      OSError: naming the file, if it could not be written; nothing of it stays behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with workdir.naming(path), scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
