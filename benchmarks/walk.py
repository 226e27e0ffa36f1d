"""What a sampler costs on top of its network: 50 DDIM steps beside 50 bare calls of the network.

    python -m benchmarks.walk 5

The two take turns; a call is one compiled program, waited for, as a loop in Python would make it. Prints a
line of JSON for each U-Net.
"""

import json
import os
import sys
import time

from benchmarks import ours
from benchmarks.networks import DDIM_STEPS, FORWARDS, NETWORKS, THREADS, Network

VARIANT = "2 devices"


def measure(name, rounds):
    """Time both, so many rounds.

    Args:
      name: of a U-Net.
      rounds: timings of each.

    Returns:
      dict of JSON data: seconds of the walks and of as many calls.
    """
    network = NETWORKS[name]
    (walk, _), (calls, _) = ours.sample(network, VARIANT), ours.forward(network, VARIANT)
    spent = {"walk": [], "calls": []}
    for i in range(rounds + 1):
        begin = time.perf_counter()
        walk()
        middle = time.perf_counter()
        for _ in range(0, DDIM_STEPS, FORWARDS):
            calls()
        end, turns = time.perf_counter(), -(-DDIM_STEPS // FORWARDS) * FORWARDS
        if i:  # the first ones compiled
            spent["walk"].append(middle - begin)
            spent["calls"].append((end - middle) * DDIM_STEPS / turns)
    return {"network": name, **spent}


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name, network in NETWORKS.items():
        if isinstance(network, Network):
            print(json.dumps(measure(name, int(sys.argv[1]))), file=replies, flush=True)
