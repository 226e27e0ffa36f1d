"""Time diffjax beside PyTorch diffusers, and its training loop beside its own bare steps.

python -m benchmarks.run            measures everything into results.json
python -m benchmarks.run --write    puts the table of results.json into the README
"""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.networks import BATCH, DDIM_STEPS, THREADS

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"

VARIANTS = {"theirs": ("default", "channels_last"), "ours": ("1 device", "2 devices")}
COMPARISONS = (("train", "unet"), ("train", "tiny"), ("sample", "unet"), ("sample", "tiny"))


def main():
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="measure nothing: results.json into README.md")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each variant, default 7")
    parser.add_argument("--loop_steps", type=int, default=650, help="length of the loop's run, default 650")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results.json")
    options = parser.parse_args()
    if options.write:
        report.write(HERE / "README.md", json.loads(options.out.read_text()))
        return
    for name, value, least in (("rounds", options.rounds, 1), ("loop_steps", options.loop_steps, 75)):
        if value < least:
            parser.error(f"{name} must be at least {least}, got {value}")
    results = measure(options.rounds, options.loop_steps)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(report.table(results))


def measure(rounds, loop_steps):
    """Measure everything.

    Args:
      rounds: timings of each variant.
      loop_steps: length of the loop's run.

    Returns:
      dict of JSON data; see `report.table` for what it says.
    """
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": THREADS,
        "batch": BATCH,
        "ddim_steps": DDIM_STEPS,
        "rounds": rounds,
        "parity": [json.loads(line) for line in _output("benchmarks.parity").splitlines()],
        "versions": {},
        "comparisons": [],
    }
    for task, network in COMPARISONS:
        versions, seconds = compare(task, network, rounds)
        results["versions"] |= versions
        results["comparisons"].append({"task": task, "network": network, "seconds": seconds})
    results["loop"] = json.loads(_output("benchmarks.overhead", str(loop_steps)))
    return results


def compare(task, network, rounds):
    """Time all variants of a task in turn, each in a process of its own that stays warm.

    Args:
      task: "train" or "sample".
      network: its name.
      rounds: how often each has its turn.

    Returns:
      (versions, {side: {variant: {"wall": [seconds], "cpu": [seconds]}}}).
    """
    with contextlib.ExitStack() as stack:
        workers, versions = {}, {}
        for side, variants in VARIANTS.items():
            for variant in variants:
                # One after the other: a start would disturb another's warm-up.
                worker = stack.enter_context(_process("benchmarks.worker", side, task, network, variant))
                versions |= _reply(worker)
                workers[side, variant] = worker
        seconds = {
            side: {variant: {"wall": [], "cpu": []} for variant in VARIANTS[side]} for side in VARIANTS
        }
        for i in range(rounds):
            for (side, variant), worker in workers.items():
                worker.stdin.write("again\n")
                worker.stdin.flush()
                for clock, value in _reply(worker).items():
                    seconds[side][variant][clock].append(value)
            print(f"{task} {network}: round {i + 1} of {rounds}", file=sys.stderr, flush=True)
    return versions, seconds


def _process(*command):
    # `with` closes the input, at which a worker ends, and waits for it.
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(THREADS)},
    )


def _reply(worker):
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{' '.join(worker.args[1:])} ended with status {worker.wait()}; see above")
    return json.loads(line)


def _output(*command):
    with _process(*command) as process:
        text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}; see above")
    return text


def machine():
    """Return processor, cores and load of this machine."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    name = models[0] if models else os.uname().machine
    return {"cpu": name, "cores": len(os.sched_getaffinity(0)), "load_before": round(os.getloadavg()[0], 2)}


if __name__ == "__main__":
    main()
