"""Arrays from `.npz` and `.npy` files: nothing inside is executed, damage is one line that names the file."""

import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from diffjax.files import one_line


def names(path: str | os.PathLike) -> tuple[str, ...]:
    """Return the names of the arrays in a file, in their order.

    Raises:
      ValueError: if there is no such file, or it is no whole archive.
    """
    with _open(path) as archive:
        return tuple(_members(archive, path))


def read(path: str | os.PathLike, wanted: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return arrays of a file by name, each checked against its checksum.

    Args:
      path: the file, made by `np.savez` or `np.savez_compressed`.
      wanted: names; None for all there are.

    Raises:
      ValueError: if there is no such file, it is no whole archive, it lacks a name, or an array is damaged or
        of pickled objects; it names the file, and the array.
    """
    with _open(path) as archive:
        members = _members(archive, path)
        wanted = list(members if wanted is None else wanted)
        for name in wanted:
            if name not in members:
                raise ValueError(
                    f'"{name}" is not in {path}, which holds {", ".join(sorted(members)) or "nothing"}'
                )
        return {name: _array(archive, members[name], f'array "{name}" of {path}') for name in wanted}


def one(path: str | os.PathLike) -> np.ndarray:
    """Return the array of an `.npy` file.

    Raises:
      ValueError: naming the file, if there is none, or it is damaged or of pickled objects.
    """
    if not os.path.isfile(path):
        raise ValueError(f"path must be an existing .npy file, got {path}")
    with open(path, "rb") as file:
        return _read(file, str(path))


@contextmanager
def _open(path) -> Iterator[zipfile.ZipFile]:
    if not os.path.isfile(path):
        raise ValueError(f"path must be an existing .npz file, got {path}")
    with open(path, "rb"):  # which says so where reading is not allowed
        whole = zipfile.is_zipfile(path)
    if not whole:
        raise ValueError(f"path must be an .npz file, got a file of another format, or half of one: {path}")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:  # of damaged ends
        raise ValueError(f"{path} is not a whole .npz file: {one_line(error)}") from error
    with archive:
        yield archive


def _members(archive, path) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, each as its own header calls it and not just the table of contents."""
    try:
        for member in archive.infolist():
            archive.open(member).close()
            if b"PK\1\2" in member.extra + member.comment:
                raise ValueError(f"what follows {member.filename} is hidden in its remarks")
    except Exception as error:  # what a damaged header raises depends on the field
        raise ValueError(f"{path} is damaged: {one_line(error)}") from error
    return {member.filename.removesuffix(".npy"): member for member in archive.infolist()}


def _array(archive, member, where):
    try:
        opened = archive.open(member)
    except Exception as error:  # what a damaged header raises depends on the field
        raise ValueError(f"{where} cannot be read: {one_line(error)}") from error
    with opened as file:
        return _read(file, where)


def _read(file, where):
    try:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # which also compares the checksum of a member
            raise ValueError("there is more in it than its header says")
        return array
    except Exception as error:  # zlib's, zipfile's, numpy's, of memory: it depends on the byte
        raise ValueError(f"{where} cannot be read: {one_line(error)}") from error
