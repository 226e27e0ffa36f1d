"""Files that are either whole or as they were, and JSON whose damage is one line that names its file."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

SCRATCH = ".tmp"  # ending of a file that was being written when its program was killed; never read


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file whose content takes the place of `path` when all of it is on the disk.

    Args:
      path: the file; its folder is made.

    Raises:
      OSError: naming the file, if it could not be written; nothing of it stays behind.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}{SCRATCH}")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is not there, or its folder is none
            scratch.unlink()


def runs(pid: str) -> bool:
    """Say whether there is a process of this number on this machine; True where it cannot be told."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True


def write(path: Path, content: str | bytes) -> None:
    """Write a file that is either whole or as it was before.

    Args:
      path: the file.
      content: its new one; text becomes UTF-8, whatever the locale.

    Raises:
      OSError: naming the file, if it could not be written.
    """
    with whole(path) as file:
        file.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError, which that of a full disk does not.

    Args:
      path: what is being written.
    """
    try:
        yield
    except OSError as error:
        raise OSError(f"could not write {path}: {error.strerror or error}") from error


def one_line(error: BaseException, most: int | None = 200) -> str:
    """Return what an error says in one line of at most so many letters; its kind where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def read_json(path: Path, *keys: str, otherwise: str = "") -> dict[str, Any]:
    """Return the dict in a JSON file.

    Args:
      path: the file.
      *keys: that it must have.
      otherwise: what to do where it is damaged, the end of a sentence.

    Raises:
      ValueError: naming the file, if it is no JSON, holds no dict, or lacks a key.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:  # no JSON, or no text
        raise ValueError(f"{path} is not JSON ({error}){otherwise}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no dict, but {str(found)[:40]!r}{otherwise}")
    for key in keys:
        if key not in found:
            raise ValueError(f"{path} has no {key!r}{otherwise}")
    return found
