"""What is watched while a run trains: its speed, its waits, its memory, a trace, and that it moves at all."""

import contextlib
import faulthandler
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from diffjax import checks
from diffjax.border import checked
from diffjax.training import cost

CLOCKS = (  # what rows have that a run made again has otherwise
    "steps_per_s",
    "examples_per_s",
    "flops_per_s",
    "utilisation",
    "data_wait",
    "device_gib",
    "time",
)


class Watch(NamedTuple):
    """What to watch; see `watch`."""

    peak_flops: float | None = None
    profile: tuple[int, int] | None = None
    hang_after: float | None = None


PLAIN = Watch()


@checked
def watch(
    peak_flops: float | None = None, profile: Sequence[int] | None = None, hang_after: float | None = None
) -> Watch:
    """Say what is watched besides speed, waits and memory, which always are.

    Args:
      peak_flops: floating-point operations a second of one device, as its vendor states them for the type
        that is computed in (989e12 for bfloat16 on an H100, 197e12 on a TPU v5e); rows then have
        "utilisation", the share of it that the model's own operations make up.
      profile: (first, last), the steps of which a trace is written to `<workdir>/profile`, for XProf or
        Perfetto.
      hang_after: seconds that a step may take; after that the stacks of all threads go to stderr, once a
        step. None watches for nothing. It must be longer than a checkpoint or a picture takes.

    Raises:
      ValueError: if a number is not positive, or `profile` is no two steps in order.
    """
    if peak_flops is not None:
        checks.positive("peak_flops", peak_flops)
    if hang_after is not None:
        checks.positive("hang_after", hang_after)
    if profile is None:
        return Watch(peak_flops, None, hang_after)
    if len(profile) != 2 or not 1 <= profile[0] <= profile[1]:
        raise ValueError(f"profile must be two steps in order, such as (10, 15); got {tuple(profile)}")
    return Watch(peak_flops, (profile[0], profile[1]), hang_after)


class Rates:
    """Rates between the rows of a log: `reading()` around what a step waits for, `row(n)` at log steps."""

    def __init__(self, given: Watch, start: int, examples: int, step: Any, mesh: Mesh):
        """Begin to count.

        Args:
          given: what is watched.
          start: the step the run goes on from.
          examples: a step, over all processes.
          step: the jaxpr of a step, of all devices together.
          mesh: that the run is on.
        """
        self.devices = list(mesh.devices.flat)
        self.peak = given.peak_flops and given.peak_flops * len(self.devices)
        self.examples, self.flops = examples, cost.flops(step)
        self.last, self.waited = (start, time.perf_counter()), 0.0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count the time within as waiting for data."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - begin

    def row(self, n: int) -> dict[str, float]:
        """Return the rates since the row before, "time" (Unix, seconds) among them."""
        now = time.perf_counter()
        seconds = now - self.last[1]
        rate, waited = (n - self.last[0]) / seconds, self.waited / seconds
        self.last, self.waited = (n, now), 0.0
        row = {"steps_per_s": rate, "examples_per_s": rate * self.examples, "data_wait": waited}
        row["flops_per_s"] = rate * self.flops
        if self.peak:
            row["utilisation"] = row["flops_per_s"] / self.peak
        used = [stats["peak_bytes_in_use"] for stats in map(_stats, self.devices) if stats]
        return row | ({"device_gib": max(used) / 2**30} if used else {}) | {"time": time.time()}


def _stats(device):
    if device.process_index != jax.process_index():
        return None
    stats = device.memory_stats() or {}
    return stats if "peak_bytes_in_use" in stats else None


@contextlib.contextmanager
def moving(given: Watch, workdir: str | Path) -> Iterator[Any]:
    """Watch over the steps within: yields `step(n)`, to be called before step n and once after the last.

    Args:
      given: what is watched.
      workdir: where a trace goes.
    """
    first, last = given.profile or (0, 0)
    tracing = False

    def step(n):
        nonlocal tracing
        if given.hang_after:
            faulthandler.dump_traceback_later(given.hang_after, file=_stderr())
        if n == first:
            jax.profiler.start_trace(os.fspath(Path(workdir) / "profile"))
            tracing = True
        elif tracing and n > last:
            jax.profiler.stop_trace()
            tracing = False

    try:
        yield step
    finally:
        if given.hang_after:
            faulthandler.cancel_dump_traceback_later()
        if tracing:
            jax.profiler.stop_trace()


def _stderr() -> Any:
    """Return a standard error that has a file descriptor, which a notebook's has not."""
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError):
        return 2
    return sys.stderr
