"""Several processes that are one run: how they find each other, and that they mean the same."""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import flags

from diffjax.files import one_line
from diffjax.training import workdir

_WHERE = ("coordinator", "num_processes", "process_id")
_SECONDS = 300


def define_flags() -> None:
    """Define the flags of a command that several processes run together."""
    flags.DEFINE_bool(
        "distributed", False,
        "Join the other processes before anything else. On a TPU pod, under Slurm, Open MPI and in indexed "
        "jobs of Kubernetes they find each other; elsewhere the flags that follow say where.",
    )  # fmt: skip
    flags.DEFINE_string("coordinator", None, "host:port of process 0.")
    flags.DEFINE_integer("num_processes", None, "Of the whole run.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "Of this one, from 0.", lower_bound=0)
    flags.DEFINE_integer("join_timeout", _SECONDS, "Seconds to wait for the other processes.", lower_bound=1)


def join(options: Any) -> None:
    """Join the other processes, if the flags say that there are any; before JAX computes anything.

    Args:
      options: `flags.FLAGS`.

    Raises:
      ValueError: for flags that do not go together, or processes that did not come in time.
    """
    own = {name: options[name].value for name in _WHERE}
    given = [name for name, value in own.items() if value is not None]
    if given and (len(given) < len(own) or not options.distributed):
        raise ValueError(f"--distributed, --{', --'.join(_WHERE)} go together; got --{', --'.join(given)}")
    if given and own["process_id"] >= own["num_processes"]:
        raise ValueError(f"--process_id must be below {own['num_processes']}, got {own['process_id']}")
    if not options.distributed:
        return
    if given:
        meet(own["coordinator"], own["num_processes"], own["process_id"], options.join_timeout)
    try:
        jax.distributed.initialize(*own.values(), initialization_timeout=options.join_timeout)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes did not join: {one_line(error)}") from error


def meet(coordinator: str, num_processes: int, process_id: int, seconds: float) -> None:
    """Wait until all processes are there, as JAX ends a process that waits in vain without a word.

    Process 0 listens where JAX's own service will, and the others tell it their numbers.

    Args:
      coordinator: host:port of process 0.
      num_processes: of the run.
      process_id: of this one.
      seconds: to wait.

    Raises:
      ValueError: naming who did not come, or what is no address.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"--coordinator must be host:port, got {coordinator!r}")
    end, address = time.monotonic() + seconds, (host, int(port))
    try:
        if process_id:
            _announce(address, process_id, end)
        else:
            _gather(address, num_processes, end)
    except OSError as error:
        raise ValueError(
            f"process {process_id} cannot use {coordinator}: {error.strerror or error}"
        ) from error


def _gather(address, num_processes, end):
    """Listen until every other process has come, then let all of them go on."""
    came: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack, socket.create_server(("", address[1])) as server:
        while len(came) < num_processes - 1:
            missing = sorted(set(range(1, num_processes)) - set(came))
            server.settimeout(max(end - time.monotonic(), 0.01))
            try:
                caller = stack.enter_context(server.accept()[0])
                caller.settimeout(5)
                came[int(caller.recv(16).decode() or -1)] = caller
            except ValueError:
                continue  # of somebody else
            except TimeoutError:
                raise ValueError(f"of {num_processes} processes these did not come: {missing}") from None
        for caller in came.values():
            caller.sendall(b"go")


def _announce(address, process_id, end):
    """Call process 0 until it answers that all are there."""
    while True:
        left = max(end - time.monotonic(), 0.01)
        with (
            contextlib.suppress(ConnectionError, socket.gaierror, TimeoutError),
            socket.create_connection(address, timeout=left) as server,
        ):
            server.sendall(str(process_id).encode())
            if server.recv(2) == b"go":
                return
        if time.monotonic() > end:
            raise ValueError(f"process {process_id} found no process 0 at {address[0]}:{address[1]}")
        time.sleep(0.2)


def require_same_command(options: Any) -> None:
    """Raise on every process unless all of them were given the same flags, their own numbers aside.

    Args:
      options: `flags.FLAGS`.

    Raises:
      ValueError: see `require_same`.
    """
    given = {name: value for name, value in options.flag_values_dict().items() if name != "process_id"}
    require_same(workdir.flat(given))


def require_same(config: Mapping[str, Any]) -> None:
    """Raise on every process unless all of them have the same config; a process alone has.

    Args:
      config: flat, {dotted key: JSON data}, or flags.

    Raises:
      ValueError: naming a process and the first key that it has otherwise than process 0.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils  # a process alone starts without

    text = json.dumps(config, sort_keys=True, default=str).encode()
    digest = np.frombuffer(hashlib.sha256(text).digest()[:4], np.int32)
    digests = multihost_utils.process_allgather(digest)
    if (digests == digests[:1]).all():
        return
    sizes = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    texts = multihost_utils.process_allgather(padded)
    first, *others = (json.loads(each[:size].tobytes()) for each, size in zip(texts, sizes.reshape(-1)))
    for number, other in enumerate(others, 1):
        for key in sorted({*first, *other}):
            if first.get(key) != other.get(key):
                raise ValueError(
                    f"the processes of a run must have one config: {key} is {first.get(key)!r} on process 0 "
                    f"and {other.get(key)!r} on process {number}"
                )
