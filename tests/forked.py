"""Commands in processes of their own, at once: forks of a process that has imported them and run nothing."""

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import compiling

ROOT = pathlib.Path(__file__).parents[1]
ENVIRONMENT = os.environ | {
    "XLA_FLAGS": compiling.FLAGS,
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PLATFORMS": "cpu",
}
PARENT = """
import json, os, sys
from diffjax import evaluate, sample, train
commands = {"evaluate": evaluate, "sample": sample, "train": train}
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):  # has this one ended?
        pid, status = os.waitpid(asked, os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    if (pid := os.fork()) == 0:
        for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
            os.dup2(os.open(path, os.O_RDWR), number)
        sys.argv = asked["argv"]
        commands[sys.argv[0]].cli()
        sys.exit()
    print(pid, flush=True)
"""


@functools.cache
def _parent():
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARENT], cwd=ROOT, env=ENVIRONMENT, text=True, stdin=pipe,
        stdout=pipe,
    )  # fmt: skip
    atexit.register(parent.communicate)
    return parent


def _ask(asked):
    parent = _parent()
    parent.stdin.write(json.dumps(asked) + "\n")
    parent.stdin.flush()
    return json.loads(parent.stdout.readline())


class Command:
    """A command that runs, with what is used of `subprocess.Popen`."""

    def __init__(self, *argv):
        self._folder = tempfile.TemporaryDirectory()
        self._told = [pathlib.Path(self._folder.name) / name for name in ("out", "err")]
        for path in self._told:
            path.touch()
        self.returncode = None
        out, err = map(str, self._told)
        self._pid = _ask({"argv": list(map(str, argv)), "out": out, "err": err})

    def poll(self):
        if self.returncode is None:
            self.returncode = _ask(self._pid)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self._pid, number)

    def communicate(self, timeout=300):
        """Wait for its end; returns what it wrote to stdout and stderr."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, f"still running: {self._told[1].read_text()}"
            time.sleep(0.01)
        return tuple(path.read_text() for path in self._told)


def run(*argv):
    """Run a command to its end; returns its status, stdout and stderr."""
    command = Command(*argv)
    out, err = command.communicate()
    return command.returncode, out, err
