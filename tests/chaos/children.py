"""Commands as real processes that start at once: children of a process that has imported all and run nothing.

A child is told what befalls it by a function that is called in it before the command begins: `at_change`,
`full_disk`, `small_files`.
"""

import atexit
import errno
import hashlib
import io
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grain  # noqa: F401  what commands import on the way is imported here, once
import jax
import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np

from diffjax import classifier, evaluate, sample, train
from diffjax.data import folder, npz  # noqa: F401
from diffjax.training import checkpoints

COMMANDS = {"train": train.cli, "sample": sample.cli, "evaluate": evaluate.cli, "classifier": classifier.cli}
HUNG = "hung"
_PATIENCE = 180.0


class Ended(NamedTuple):
    """How a command ended: its status (below 0 the signal), what it said, and what it found and made."""

    status: int | str
    told: str
    begun: int | None
    digest: str | None

    @property
    def raw(self) -> bool:
        """Whether a traceback was shown, it crashed, or it hung."""
        return "Traceback" in self.told or "Fatal" in self.told or self.status in (HUNG, 1, -6, -7, -11)


class Child:
    """A command that runs."""

    def __init__(self, argv: list[str], before: Callable[[], None] = lambda: None):
        self.log = Path(tempfile.mkstemp(prefix="chaos_", suffix=".log")[1])
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be(argv, before, self.log)

    def ended(self) -> int | None:
        """Return its status if it has ended."""
        if not hasattr(self, "status"):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it is there."""
        if self.ended() is None:
            os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait until it has ended."""
        end = time.monotonic() + _PATIENCE
        while self.ended() is None and time.monotonic() < end:
            time.sleep(0.005)
        status = self.ended()
        if status is None:
            self.kill()
            while self.ended() is None:
                time.sleep(0.005)
        report = self.log.with_suffix(".json")
        found = json.loads(report.read_text() or "{}") if report.exists() else {}
        told = self.log.read_text(errors="replace")
        for path in (self.log, report):
            path.unlink(missing_ok=True)
        return Ended(HUNG if status is None else status, told, found.get("begun"), found.get("digest"))


def run(argv: list[str], before: Callable[[], None] = lambda: None) -> Ended:
    """Run a command to its end."""
    return Child(argv, before).wait()


def _be(argv, before, log):
    """Become the command; nothing of the parent goes on here."""
    status = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = list(argv)
        _watch(log.with_suffix(".json"))
        before()
        COMMANDS[argv[0]]()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            threading._shutdown()  # as an interpreter that ends
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _watch(report):
    """Note the step that a training goes on from, and a digest of all of the state that it ends with."""
    found, restore, fit = {}, checkpoints.restore, train.fit

    def note(**more):
        found.update({key: value for key, value in more.items() if key not in found})
        report.write_text(json.dumps(found))

    def restored(*arguments):
        state = restore(*arguments)
        note(begun=0 if state is None else state[0])
        return state

    def fitted(*arguments, **options):
        state = fit(*arguments, **options)
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(state):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            digest.update(np.asarray(leaf).tobytes())
        note(digest=f"{int(state.step)} {digest.hexdigest()}")
        return state

    checkpoints.restore, train.fit = restored, fitted


_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _change(event, arguments, within):
    """Say whether what Python is about to do changes a file within a folder."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITES:
            return False
    elif event in _CHANGES:
        path = arguments[0]
    else:
        return False
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    path = os.fsdecode(path)
    inside = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
    if not os.path.isabs(path) and isinstance(inside, int) and inside >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{inside}"), path)
    return os.path.abspath(path).startswith(str(within))


def at_change(n: int, within: Path) -> Callable[[], None]:
    """Return what makes a command die just before it changes a file in a folder for the n-th time."""

    def before():
        count = itertools.count(1)

        def hook(event, arguments):
            if _change(event, arguments, within) and next(count) == n:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return before


def at_rename(target: Path):
    """Return what makes a command die just before something gets a name."""

    def before():
        def hook(event, arguments):
            if event == "os.rename" and os.fspath(arguments[1]) == str(target):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return before


def count_changes(within: Path, file: Path):
    """Return what makes a command leave a byte in a file for each change of a file in a folder."""

    def before():
        out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(lambda *event: os.write(out, b".") if _change(*event, within) else None)

    return before


def full_disk(n: int, within: Path):
    """Return what makes the disk full for a command from its n-th new file or folder on."""

    def before():
        count = itertools.count(1)

        def hook(event, arguments):
            makes = event in ("open", "os.mkdir", "os.link") and _change(event, arguments, within)
            if makes and next(count) >= n:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        sys.addaudithook(hook)

    return before


def small_files(limit: int):
    """Return what makes files end at so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def waits(child: Child, until: Callable[[], bool]) -> Iterator[None]:
    """Wait until something is there or the command has ended; then yield, if it has not."""
    while child.ended() is None:
        if until():
            yield
            return
        time.sleep(0.001)


def _drawn_once():
    """Draw a figure, so that children find matplotlib's fonts and tickers made."""
    figure = matplotlib.figure.Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 2], [1, 2])
    axes.set_yscale("log")
    figure.savefig(io.BytesIO(), format="png")


_drawn_once()
