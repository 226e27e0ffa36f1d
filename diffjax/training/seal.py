"""Checksums of a checkpoint's files: orbax notices most damage, but not other bytes inside a large array."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

FILE = "checksums.json"


def write(folder: Path) -> None:
    """Write `checksums.json`: the CRC-32 of every file in the folder's own folders.

    Args:
      folder: of the checkpoint; the files beside the seal are orbax's and still change after this.
    """
    files = sorted(path for path in folder.glob("*/**/*") if path.is_file())
    sums = {str(path.relative_to(folder)): _crc(path) for path in files}
    (folder / FILE).write_text(json.dumps(sums))


def check(folder: Path, items: Sequence[str]) -> None:
    """Check that files are what they were when the seal was written.

    Args:
      folder: of the checkpoint. One without a seal, of an older version, is not checked.
      items: its folders that matter.

    Raises:
      ValueError: naming the first file that is missing or has other content.
    """
    seal = folder / FILE
    if not seal.exists():
        return
    try:
        sums = dict(json.loads(seal.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{FILE} is not what was written") from error
    for name, crc in sums.items():
        if name.split("/")[0] not in items:
            continue
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if _crc(folder / name) != crc:
            raise ValueError(f"{name} is not what was written")


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            crc = zlib.crc32(block, crc)
    return crc
