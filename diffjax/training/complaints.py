"""What orbax leaves behind besides the error that it raises: lines on stderr, threads that wait."""

import logging
import sys
import threading
import warnings
from concurrent.futures import CancelledError
from typing import Any

_FUTURES = "orbax.checkpoint._src.futures.future"  # not public: an orbax without it is left as it is


def silence() -> None:
    """Drop what futures of tensorstore say when the event loop that they report to is closed; once a process.

    Where one array of a checkpoint cannot be read or written, orbax raises and closes its loop; each of the
    other arrays then prints a traceback, from another thread and a while later. Those that had failed before
    the loop was closed are told by asyncio's logger.
    """
    previous = sys.unraisablehook
    if getattr(previous, "__module__", None) == __name__:
        return

    def hook(unraisable):
        if unraisable.object is not None or str(unraisable.exc_value) != "Event loop is closed":
            previous(unraisable)

    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(_is_of_no_array)


def _is_of_no_array(record: logging.LogRecord) -> bool:
    """Return whether a line of asyncio's is about something else than an array of a checkpoint."""
    said = record.getMessage()
    return not (said.startswith("Future exception was never retrieved") and "OCDBT" in said)


def release() -> None:
    """Cancel orbax's threads that wait for a folder that could not be made.

    They would wait for ten minutes, and a program, which ends when its threads have, as long as they.
    """

    def cancelled():
        raise CancelledError

    waiting: list[Any] = [each for each in threading.enumerate() if type(each).__module__ == _FUTURES]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        for thread in waiting:
            thread._target = cancelled
    for thread in waiting:
        sys.modules[_FUTURES].set_signals(thread._receive_signals, operation_id=thread._operation_id)
