"""Losses that are not numbers, under both policies, and a process of several that is killed."""

import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from chaos import children, config, judging
from chaos.judging import Bench, Fault, Outcome

from diffjax import data

ROOT = Path(__file__).parents[2]


class _Batches:
    """The batches of a run, some of which are NaN, and some left out, by their numbers from 0."""

    def __init__(self, own, bad, without):
        self.own, self.bad, self.without = own, bad, without

    def __next__(self):
        while self._number() in self.without:
            next(self.own)
        number, batch = self._number(), next(self.own)
        return {**batch, "x": np.full_like(batch["x"], np.nan)} if number in self.bad else batch

    def _number(self):
        return self.own.get_state()["next_batch"]

    def __getattr__(self, name):
        return getattr(self.own, name)


def batches(bad=(), without=()):
    """Return what gives a command other batches."""

    def before():
        make = data.batches
        data.batches = lambda *arguments, **options: _Batches(make(*arguments, **options), bad, without)

    return before


ROLL_BACK = "--config.training.not_finite={'checkpoints': 1, 'times': 3}"


def not_finite(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """A batch that is NaN: the run stops, and goes on when the batch is sound; or it rolls back."""

    def stops(folder, bad):
        ended = children.run(judging.train(folder), batches(bad=[bad]))
        found = bench.judged(folder, ended, least=bad // config.EVERY * config.EVERY)
        told = f"the last good checkpoint is step {bad // config.EVERY * config.EVERY}"
        told = told if bad >= config.EVERY else "no checkpoint yet"
        wrong = ended.status != 2 or told not in ended.told
        return found._replace(silent=found.silent or wrong, about=found.about + ended.told * wrong)

    def rolls_back(folder, bad):
        seen = -(-(bad + 1) // config.LOG) * config.LOG  # the step that notices it
        left_out = range(bad // config.EVERY * config.EVERY, seen)
        other = bench.place / f"without_{left_out.start}_{seen}"
        expected = children.run(judging.train(other), batches(without=left_out))
        ended = children.run(judging.train(folder, "plain", ROLL_BACK), batches(bad=[bad]))
        same = ended.status == 0 and ended.digest == expected.digest
        told = (folder / "changes.jsonl").exists() and judging.rows(folder) == judging.rows(other)
        scratch = judging.left(folder)
        about = "" if same and told else f"{ended} {expected}"
        return Outcome("went on", ended.status != 0, not same or not told, ended.raw, bool(scratch), about)

    for i in range(count):
        bad = draw.randrange(config.STEPS)
        work = (stops, rolls_back)[i % 2]
        kind = ("a batch is NaN, policy: stop", "a batch is NaN, policy: roll back")[i % 2]
        yield Fault(kind, f"{i}: batch {bad}", functools.partial(work, bad=bad))


def peers(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """One of two processes under `diffjax.launch` gets a kill -9, some time after a checkpoint."""

    def command(folder):
        train = judging.train(folder, "two")
        train[:1] = [sys.executable, "-m", "diffjax.train"]
        return [sys.executable, "-m", "diffjax.launch", "--processes=2", "--", *train]

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    start = functools.partial(subprocess.Popen, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)

    @functools.cache
    def undisturbed():
        folder = bench.place / "two"
        with start(command(folder), stdout=subprocess.DEVNULL) as running:
            _, told = running.communicate(timeout=600)
        if running.returncode:
            raise RuntimeError(told)
        return children.run(judging.train(folder, "two")).digest, judging.rows(folder)

    def run(folder, who, step, delay):
        digest, rows = undisturbed()
        running = start(command(folder), stdout=subprocess.DEVNULL)
        while running.poll() is None and judging.latest(folder) < step:
            time.sleep(0.02)
        time.sleep(delay)
        for number in who:
            _kill(running.pid, number)
        there = _sealed(folder)
        _, told = running.communicate(timeout=600)
        killed, whole = "starting all again" in told, children.run(judging.train(folder, "two"))
        lost = running.returncode != 0 or not killed or _sealed(folder).items() < there.items()
        silent = whole.digest != digest or judging.rows(folder) != rows
        scratch = judging.left(folder)
        about = told[-3000:] if lost or silent or "Traceback" in told else ""
        return Outcome("went on", lost, silent, "Traceback" in told or whole.raw, bool(scratch), about)

    for i in range(count):
        who, step = ([0], [1], [0, 1])[i % 3], 40 * draw.randint(1, 6)
        delay = 0.3 * draw.random()
        name = f"{i}: {who} after step {step} and {1000 * delay:.0f} ms"
        work = functools.partial(run, who=who, step=step, delay=delay)
        yield Fault("one of two processes killed", name, work)


def _kill(launcher: int, number: int) -> None:
    """Kill the child of a launcher that has a number."""
    children_of = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for each in map(int, children_of):
        if f"--process_id={number}" in Path(f"/proc/{each}/cmdline").read_text().split("\0"):
            os.kill(each, signal.SIGKILL)


def _sealed(folder: Path) -> dict[str, int]:
    """Return when each whole checkpoint was sealed."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("checkpoints/*/checksums.json")}
