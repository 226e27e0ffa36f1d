"""Programs that take turns on the same cores, for each U-Net of the parity networks."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.networks import NETWORKS, THREADS, Network


def both_clocks() -> np.ndarray:
    """Return the time of the clock and that of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def seconds(
    sides: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], Any] = time.perf_counter
) -> dict[str, list[Any]]:
    """Return what each side took in each round; a first round, in which they compile, is not counted."""
    spent = {side: [] for side in sides}
    for i in range(rounds + 1):
        for side, run in sides.items():
            begin = clock()
            run()
            if i:
                spent[side].append(clock() - begin)
    return spent


def of_each_unet(measure: Callable[[str, int], dict]) -> None:
    """Print a line of JSON of `measure(name, rounds)` for each U-Net, or those that are named.

    Rounds are the command's first argument, names the others.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name, network in NETWORKS.items():
        if isinstance(network, Network) and name in (sys.argv[2:] or NETWORKS):
            print(json.dumps(measure(name, int(sys.argv[1]))), file=replies, flush=True)
