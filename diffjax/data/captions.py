"""Captions of a folder of images, as Hugging Face's "imagefolder" has them."""

import json
import os
import pathlib
from collections.abc import Iterable

import numpy as np

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # of which the first is read


def read(tables: Iterable[pathlib.Path], files: list[pathlib.Path], field: str) -> np.ndarray | None:
    """Return the captions of image files, or None where there are no tables.

    Args:
      tables: files `metadata.jsonl`; a line is `{"file_name": "1.png", "text": "a cat"}`, the name relative
        to the table's folder. A table may also speak of images that are not among `files`.
      files: the images.
      field: the entry of a line that is the caption.

    Returns:
      Strings [N], or None.

    Raises:
      ValueError: naming table and line, or the image, if a table is of another kind, a line no such object,
        an image is missing, or has no caption or two.
    """
    tables, found = list(tables), {}
    for table in tables:
        if table.name != TABLES[0]:
            raise ValueError(f"{table} is not read, only {TABLES[0]} is; caption=None reads neither")
        for where, file, text in _lines(table, field):
            if file in found:
                raise ValueError(f"{where} gives {file} a second caption")
            found[file] = text
    if not tables:
        return None
    wanted = [os.path.normpath(file) for file in files]
    for file in wanted:
        if file not in found:
            raise ValueError(
                f"{file} has no caption in {', '.join(map(str, tables))}; caption=None reads none"
            )
    for file in found.keys() - set(wanted):
        if not os.path.isfile(file):
            raise ValueError(f"{file} has a caption, but there is no such image")
    return np.array([found[file] for file in wanted])


def _lines(table, field):
    """Yield (where, path of the image, caption)."""
    try:
        lines = table.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not text in UTF-8: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{table}, line {number},"
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where} is not JSON: {error}") from error
        for key in ("file_name", field):
            if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
                raise ValueError(f'{where} must be an object with a string "{key}", got {line[:80]}')
        yield where, os.path.normpath(table.parent / entry["file_name"]), entry[field]
