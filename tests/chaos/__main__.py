"""Faults by the hundred: `make chaos`, or `python -m chaos --out=table.md` with `tests` on the path.

Each fault befalls a training of forty steps in a folder of its own: a real process, started by the real
command, is killed, starved or lied to, and the same command is given once more. What then must hold: it goes
on from the last checkpoint that was whole; all of its final state, and its log, are bit for bit those of a
run without a fault, or it says in one line what is wrong, and goes on so when that is put right; nobody sees
a traceback; no scratch file is left.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos import damage, disks, kills, others
from chaos.judging import Bench, Outcome

KINDS = {  # what makes the faults, and how many of them
    "row": (damage.in_a_row, 12),
    "random": (kills.at_random, 40),
    "saves": (kills.during_saves, 20),
    "end": (kills.at_the_end, 15),
    "changes": (kills.at_changes, 60),
    "storms": (kills.storms, 15),
    "starts": (kills.two_starts, 12),
    "files": (damage.of_a_run, 80),
    "pictures": (damage.of_the_data, 18),
    "no_files": (disks.at_files, 25),
    "bytes": (disks.at_bytes, 20),
    "small": (disks.on_small_disks, 20),
    "results": (disks.of_results, 20),
    "nan": (others.not_finite, 16),
    "peers": (others.peers, 6),
}
BAD = ("lost", "silent", "raw", "left")


def main():
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="chaos_"))
    results = options.out.with_suffix(".jsonl")
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    known = {(each["kind"], each["name"]) for each in done}
    begin, bench = time.monotonic(), Bench(place)
    try:
        for kind in options.kinds:
            make, count = KINDS[kind]
            count = max(1, round(count * options.share))
            for fault in make(bench, count, random.Random(f"{options.seed} {kind}")):
                if (fault.kind, fault.name) in known or (options.only or "") not in fault.name:
                    continue
                done.append(_tried(fault, place))
                with results.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                if time.monotonic() - begin > 60 * options.minutes:
                    print("the time is over: the same command goes on")
                    return
    finally:
        shutil.rmtree(place, ignore_errors=True)
        used = os.times()
        print(f"{used.children_user + used.children_system + used.user + used.system:.0f} s of processor")
        options.out.write_text(table(done))
        print(table(done))
    sys.exit(any(each[name] for each in done for name in BAD))


def _tried(fault, place):
    folder = place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        found = fault.run(folder)
    except Exception as error:  # of a test, not of what it tests
        found = Outcome("unknown", True, about=f"{type(error).__name__}: {error}")
    mark = f"  BAD: {found.about}" if found.bad else ""
    print(f"{fault.kind}: {fault.name}: {found.ended}{mark}", flush=True)
    return {"kind": fault.kind, "name": fault.name, **found._asdict()}


def table(done: list[dict]) -> str:
    """Return what happened by kind, in Markdown."""
    columns = ("tried", "went on", "refused", *BAD)
    counts: dict[str, Counter] = {}
    for each in done:
        kind = counts.setdefault(each["kind"], Counter())
        kind.update(["tried", each["ended"]])
        kind.update(name for name in BAD if each[name])
    total = sum(counts.values(), Counter())
    lines = ["| fault | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for kind, found in [*counts.items(), ("all", total)]:
        lines.append(f"| {kind} | " + " | ".join(str(found[column]) for column in columns) + " |")
    return "\n".join(lines) + "\n"


def _options():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("chaos.md"), help="the table; beside it a .jsonl")
    kinds = lambda text: text.split(",")
    parser.add_argument("--kinds", type=kinds, default=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--only", help="faults whose name has this")
    parser.add_argument("--share", type=float, default=1.0, help="of the faults of each kind")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which it stops, to go on later")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
