"""Programs that take turns on the same cores, for each U-Net of the parity networks."""

import json
import os
import sys
import time
from collections.abc import Callable

from benchmarks.networks import NETWORKS, THREADS, Network


def seconds(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return what each side took in each round; a first round, in which they compile, is not counted."""
    spent = {side: [] for side in sides}
    for i in range(rounds + 1):
        for side, run in sides.items():
            begin = time.perf_counter()
            run()
            if i:
                spent[side].append(time.perf_counter() - begin)
    return spent


def of_each_unet(measure: Callable[[str, int], dict]) -> None:
    """Print a line of JSON of `measure(name, rounds)` for each U-Net; rounds are the command's argument."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name, network in NETWORKS.items():
        if isinstance(network, Network):
            print(json.dumps(measure(name, int(sys.argv[1]))), file=replies, flush=True)
