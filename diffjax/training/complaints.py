"""What orbax leaves on stderr besides the error that it raises."""

import sys


def silence() -> None:
    """Drop what futures of tensorstore say when the event loop that they report to is closed; once a process.

    Where one array of a checkpoint cannot be read or written, orbax raises and closes its loop; each of the
    other arrays then prints a traceback, from another thread and a while later.
    """
    previous = sys.unraisablehook
    if getattr(previous, "__module__", None) == __name__:
        return

    def hook(unraisable):
        if unraisable.object is not None or str(unraisable.exc_value) != "Event loop is closed":
            previous(unraisable)

    sys.unraisablehook = hook
