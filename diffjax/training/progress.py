"""How far a long work is: a bar on a terminal; in a file, a job's log or a notebook, a line now and then."""

import sys
from typing import Any

from tqdm import tqdm

_EVERY = 20.0  # seconds between lines


def bar(**options: Any) -> tqdm:
    """Make a bar of `tqdm`, on stderr.

    Args:
      **options: of `tqdm.tqdm`.
    """
    if sys.stderr is None:  # a program without a terminal, such as a service
        return tqdm(**{**options, "disable": True})
    if not sys.stderr.isatty():
        every = {"mininterval": _EVERY, "maxinterval": _EVERY, "ncols": 0}
        options = {**options, **every, "file": _Lines(sys.stderr)}
    return tqdm(**options)


class _Lines:
    """A stream that makes a line of each redrawing of a bar."""

    def __init__(self, stream: Any):  # a notebook's is no TextIO
        self.stream = stream

    def write(self, text: str) -> None:
        if text := text.strip():
            self.stream.write(f"{text}\n")

    def flush(self) -> None:
        self.stream.flush()
