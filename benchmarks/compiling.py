"""How long the training steps of the U-Nets take to compile, by stages, in fresh processes without a cache.

    python -m benchmarks.compiling 3

Prints a line of JSON for each network: medians of so many processes, seconds of wall and of processor, of
tracing (the state's shapes included), lowering to StableHLO, and XLA; and the lines of StableHLO.
"""

import json
import os
import subprocess
import sys
import time
from statistics import median

from benchmarks.networks import NETWORKS, THREADS

STAGES = ("trace", "lower", "compile")


def stages(name):
    """Return the seconds of each stage, (wall, processor), in this process."""
    import jax

    from benchmarks import ours

    clocks = [(time.perf_counter(), time.process_time())]

    def done():
        clocks.append((time.perf_counter(), time.process_time()))

    traced = ours.traced(NETWORKS[name], "1 device")
    done()
    lowered = traced.lower()
    done()
    lowered.compile()
    done()
    spent = [[end - begin for begin, end in zip(*pair)] for pair in zip(clocks, clocks[1:])]
    assert jax.config.jax_compilation_cache_dir is None
    return {**dict(zip(STAGES, spent)), "lines": lowered.as_text().count("\n")}


def main(rounds):
    """Measure every network."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    for name in NETWORKS:
        command = [sys.executable, "-m", "benchmarks.compiling", "--one", name]
        found = []
        for _ in range(rounds):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        middle = lambda values: [round(median(each), 2) for each in zip(*values)]
        told = {stage: middle(each[stage] for each in found) for stage in STAGES}
        whole = middle([sum(pair) for pair in zip(*(each[stage] for stage in STAGES))] for each in found)
        print(json.dumps({"network": name, "whole": whole, **told, "lines": found[0]["lines"]}), flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if sys.argv[1] == "--one":
        print(json.dumps(stages(sys.argv[2])))
    else:
        main(int(sys.argv[1]))
