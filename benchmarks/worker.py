"""One side of a comparison, in a process of its own: warms up, then does the work once a line it reads.

    python -m benchmarks.worker ours train unet "2 devices"

Each reply is a line of JSON: versions when it is warm, then seconds of one unit of the work.
"""

import importlib
import json
import os
import sys
import time

from benchmarks.networks import NETWORKS, THREADS


def main(side, task, network, variant):
    """Serve until the input ends.

    Args:
      side: "ours" or "theirs".
      task: "train", "forward" or "sample".
      network: one of NETWORKS.
      variant: one of the side's VARIANTS.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not a reply
    # XLA makes a thread for each core it may use, so both sides get the same cores, before they are imported.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    module = importlib.import_module(f"benchmarks.{side}")
    run, units = getattr(module, task)(NETWORKS[network], variant)
    for _ in range(2):
        run()
    print(json.dumps(module.versions()), file=replies, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall / units, "cpu": cpu / units}), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
