"""Run a command as several processes of this machine: `python -m diffjax.launch --processes=4 -- <command>`.

    python -m diffjax.launch --processes=2 -- python -m diffjax.train --config=... --workdir=...

Each gets `--distributed`, `--coordinator`, `--num_processes` and `--process_id`. When one of them dies the
others are stopped and all are started again: a training goes on from its latest checkpoint. What ends with
status 2 is a mistake of the caller and is not tried again. A signal is handed on, so that Ctrl-C and SIGTERM
save a checkpoint as they do for one process. Where a cluster starts the processes itself (Slurm, Kubernetes,
a TPU pod) this is not needed: `--distributed` alone finds them.
"""

import os
import signal
import socket
import subprocess
import sys
import time

from absl import flags

from diffjax import commands
from diffjax.commands import devices

_GRACE = 60.0  # seconds for a process to save a checkpoint


def launch(command: list[str], processes: int, restarts: int = 10, grace: float = _GRACE) -> int:
    """Run a command as several processes until all have ended well.

    Args:
      command: program and arguments.
      processes: how many.
      restarts: at most so often all are started again.
      grace: seconds between asking a process to stop and killing it.

    Returns:
      The status: 0; 128 + the signal that ended it; or of the process that failed first.

    Raises:
      ValueError: if a number is out of range, there is no command, or it cannot be started.
    """
    if processes < 1 or restarts < 0 or not command:
        given = f"got {command}, {processes}, {restarts}"
        raise ValueError(f"launch needs a command, processes >= 1 and restarts >= 0; {given}")
    wished: list[int] = []
    note = lambda number, frame: wished.append(number)
    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        for left in range(restarts, -1, -1):
            status = _run(command, processes, wished, grace)
            if wished:
                return 128 + wished[0]
            if status in (0, 2) or not left:
                return status
            print(f"launch: a process ended with status {status}; starting all again", file=sys.stderr)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    raise AssertionError("the last round returns")


def _run(command, processes, wished, grace):
    """Start all, and return 0 when all are done, or the status of the first that failed, the rest stopped."""
    where = f"localhost:{_free_port()}"
    environment = {"JAX_NUM_CPU_DEVICES": str(max(1, devices.cores() // processes)), **os.environ}
    running = []
    try:
        for number in range(processes):
            place = [f"--coordinator={where}", f"--num_processes={processes}", f"--process_id={number}"]
            # a session of its own, so that a terminal's Ctrl-C comes once, from here
            running.append(
                subprocess.Popen([*command, "--distributed", *place], env=environment, start_new_session=True)
            )
        return _watch(running, wished, grace)
    except OSError as error:
        raise ValueError(f"{command[0]!r} cannot be started: {error.strerror}") from error
    finally:
        _stop(running, signal.SIGKILL, 0)


def _watch(running, wished, grace):
    while True:
        if wished:
            _stop(running, wished[0], grace)
            return 0
        ended = [each.poll() for each in running]
        failed = [status for status in ended if status]
        if failed:
            time.sleep(0.2)  # a mistake is told by all of them, and each may say it
            _stop(running, signal.SIGTERM, grace if failed[0] == 2 else min(grace, 5.0))
            told = [each.returncode for each in running]
            return 2 if 2 in told else failed[0] if failed[0] > 0 else 128 - failed[0]
        if all(status == 0 for status in ended):
            return 0
        time.sleep(0.1)


def _stop(running, how, grace):
    """End processes: ask, wait, and kill what is left."""
    for each in running:
        if each.poll() is None:
            each.send_signal(how)
    end = time.monotonic() + grace
    for each in running:
        try:
            each.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


def _free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def cli():
    """Entry point of `diffjax-launch`."""
    own, dashes, command = _split(sys.argv)
    sys.argv = own
    flags.DEFINE_integer("processes", 2, "How many, of this machine.", lower_bound=1)
    flags.DEFINE_integer("restarts", 10, "At most so often all are started again.", lower_bound=0)

    def main(argv):
        del argv
        if not dashes or not command:
            raise ValueError("give the command after --, e.g. -- python -m diffjax.train --config=...")
        sys.exit(launch(command, flags.FLAGS.processes, flags.FLAGS.restarts))

    commands.run(main)


def _split(argv):
    """Return what is before "--", whether there is one, and the command after it."""
    if "--" not in argv:
        return argv, False, []
    at = argv.index("--")
    return argv[:at], True, argv[at + 1 :]


if __name__ == "__main__":
    cli()
