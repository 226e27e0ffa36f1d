"""Signals as a question that the loop asks between steps, so that nothing is interrupted half-way."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_ECHO = 0.1  # seconds: `timeout`, for one, sends its signal twice, to the process and to its group
_TOLD = "\n{}: ending after this step; a second signal ends it at once, without a checkpoint\n"


@contextlib.contextmanager
def on_signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Turn SIGTERM and SIGINT (Ctrl-C) into a wish that the running code may grant when it is ready.

    Nothing is raised: an exception in the middle of a compilation can crash the process. A second signal
    ends the process at once, with status 128 + its number. Outside the main thread, which alone may handle
    signals, nothing is changed.

    Yields:
      `received() -> the first signal, or None while there was none`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []
    handlers = {number: signal.signal(number, lambda n, _: received.append(n)) for number in SIGNALS}
    # Python runs handlers between its own instructions: not before a compilation has ended. The wake-up pipe
    # is written at once, so a thread can answer, and end the process.
    out, into = os.pipe()
    os.set_blocking(into, False)
    pipe = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(out,), daemon=True)
    watcher.start()
    try:
        yield lambda: signal.Signals(received[0]) if received else None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(pipe)
        os.close(into)
        watcher.join()
        os.close(out)


@contextlib.contextmanager
def on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, or a notebook's stop, into a wish, and raise it at the end of the block.

    A second one is raised at once. Nothing is changed outside the main thread, or where somebody else, such
    as `on_signals`, handles it.

    Yields:
      `received() -> bool`.

    Raises:
      KeyboardInterrupt: at the end, if there was one.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    received = []

    def handle(number, frame):
        if received:
            signal.default_int_handler(number, frame)
        received.append(number)
        with contextlib.suppress(RuntimeError):  # in the middle of another line
            print("\ninterrupted: ending after this step; a second time ends it at once", file=sys.stderr)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt


def _watch(pipe):
    first = None
    while number := os.read(pipe, 1):
        if number[0] not in SIGNALS:
            continue
        now = time.monotonic()
        if first is None:
            first = now
            os.write(2, _TOLD.format(signal.Signals(number[0]).name).encode())
        elif now - first > _ECHO:
            os._exit(128 + number[0])


def agree(wish: bool) -> bool:
    """Ask all processes whether any of them wishes something; every one gets the same answer."""
    if jax.process_count() == 1:
        return wish
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(wish))))
