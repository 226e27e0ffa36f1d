"""Time diffjax beside PyTorch diffusers, and its training loop beside its own bare steps.

python -m benchmarks.run            measures into results.json, which it goes on with after a break
python -m benchmarks.run --write    puts the table of results.json into the README
"""

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.networks import BATCH, DDIM_STEPS, THREADS

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"

VARIANTS = {"theirs": ("default", "channels_last", "compiled"), "ours": ("1 device", "2 devices")}
LEFT_OUT = {"sample": ("compiled",)}  # a pipeline calls the network alone, whose ratio "forward" tells
COMPARISONS = (
    *(("train", "unet"), ("train", "tiny"), ("forward", "unet"), ("sample", "tiny"), ("sample", "unet")),
    *(("forward", "dit"), ("train", "dit")),
)


def main():
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="measure nothing: results.json into README.md")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each variant, default 7")
    parser.add_argument("--loop_steps", type=int, default=650, help="length of the loop's run, default 650")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results.json")
    options = parser.parse_args()
    if options.write:
        report.write(HERE / "README.md", json.loads(options.out.read_text()))
        return
    for name, value, least in (("rounds", options.rounds, 1), ("loop_steps", options.loop_steps, 75)):
        if value < least:
            parser.error(f"{name} must be at least {least}, got {value}")
    kept = json.loads(options.out.read_text()) if options.out.exists() and not options.again else {}
    results = measure(options.rounds, options.loop_steps, kept, options.out)
    print(report.table(results))


def measure(rounds, loop_steps, results, out):
    """Measure everything that is not measured yet.

    Args:
      rounds: timings of each variant.
      loop_steps: length of the loop's run.
      results: what there is; see `report.table` for what it says.
      out: the file, written after each part.

    Returns:
      dict of JSON data.
    """

    def keep():
        out.write_text(json.dumps(results, indent=1) + "\n")
        return results

    if "parity" not in results:
        results |= {
            "threads": THREADS,
            "batch": BATCH,
            "ddim_steps": DDIM_STEPS,
            "rounds": rounds,
            "parity": [json.loads(line) for line in _output("benchmarks.parity").splitlines()],
            "versions": {},
            "comparisons": [],
        }
        keep()
    if not results["comparisons"]:
        results |= {"date": datetime.date.today().isoformat(), "machine": machine()}
    done = {(each["task"], each["network"]) for each in results["comparisons"]}
    for task, network in COMPARISONS:
        if (task, network) not in done:
            versions, seconds = compare(task, network, rounds)
            results["versions"] |= versions
            results["comparisons"].append({"task": task, "network": network, "seconds": seconds})
            keep()
    more = {"walk": rounds, "compiling": 3}
    peers = {"flaxdiff": "flaxdiff", "hackable": "hackable_diffusion"}
    more |= {name: rounds for name, package in peers.items() if importlib.util.find_spec(package)}
    for name, count in more.items():
        if name not in results:
            told = _output(f"benchmarks.{name}", str(count))
            results[name] = [json.loads(line) for line in told.splitlines()]
            keep()
    if "loop" not in results:
        results["loop"] = json.loads(_output("benchmarks.overhead", str(loop_steps)))
    return keep()


def compare(task, network, rounds):
    """Time all variants of a task in turn, each in a process of its own that stays warm.

    Args:
      task: "train", "forward" or "sample".
      network: its name.
      rounds: how often each has its turn.

    Returns:
      (versions, {side: {variant: {"wall": [seconds], "cpu": [seconds]}}}).
    """
    with contextlib.ExitStack() as stack:
        workers, versions = {}, {}
        variants = {
            side: [name for name in names if name not in LEFT_OUT.get(task, ())]
            for side, names in VARIANTS.items()
        }
        for side in variants:
            for variant in variants[side]:
                # One after the other: a start would disturb another's warm-up.
                worker = stack.enter_context(_process("benchmarks.worker", side, task, network, variant))
                versions |= _reply(worker)
                workers[side, variant] = worker
        seconds = {
            side: {variant: {"wall": [], "cpu": []} for variant in names} for side, names in variants.items()
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
