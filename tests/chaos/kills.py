"""Ends that no program can answer, at random and at each change of a file, and storms of signals."""

import functools
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator

from chaos import children, config, judging
from chaos.judging import Bench, Fault, Outcome


def _killed(folder, strike, delay):
    """Train until `strike(child, delay)` kills it; what ended before begins anew with half of the delay."""
    while True:
        child = children.Child(judging.train(folder))
        strike(child, delay)
        ended, delay = child.wait(), delay / 2
        if ended.status == -signal.SIGKILL:
            return ended
        shutil.rmtree(folder)
        folder.mkdir()


def _when(there: Callable[[], bool], child: children.Child, delay: float) -> None:
    """Kill a while after something is there."""
    for _ in children.waits(child, there):
        time.sleep(delay)
        child.kill()


def at_random(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Kill -9 after a while."""

    def run(folder, delay):
        ended = _killed(folder, functools.partial(_when, lambda: True), delay)
        return bench.judged(folder, ended, least=judging.latest(folder))

    for i in range(count):
        delay = 4 * draw.random()
        name = f"{i}: after {delay:.2f} s"
        yield Fault("kill -9 at a random moment", name, functools.partial(run, delay=delay))


def during_saves(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Kill -9 while a checkpoint is written."""

    def run(folder, step, delay):
        writes = lambda: any((folder / "checkpoints").glob(f"{step}.orbax-checkpoint-tmp*"))
        ended = _killed(folder, functools.partial(_when, writes), delay)
        return bench.judged(folder, ended, least=judging.latest(folder))

    for i in range(count):
        step, delay = draw.choice([10, 20, 30, 40]), 0.03 * draw.random()
        name = f"{i}: of step {step}, after {1000 * delay:.1f} ms"
        yield Fault("kill -9 during a save", name, functools.partial(run, step=step, delay=delay))


def at_the_end(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Kill -9 when the last checkpoint is there."""

    def run(folder, delay):
        last = folder / "checkpoints" / str(config.STEPS)
        ended = _killed(folder, functools.partial(_when, last.exists), delay)
        return bench.judged(folder, ended, least=judging.latest(folder))

    for i in range(count):
        delay = 0.5 * draw.random() ** 2
        name = f"{i}: {1000 * delay:.0f} ms after the last checkpoint"
        yield Fault("kill -9 at the very end", name, functools.partial(run, delay=delay))


def at_changes(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Kill -9 before the n-th change of a file, spread over all of them."""
    kind = "rich"

    @functools.cache
    def changes():
        folder, file = bench.place / "counted", bench.place / "changes"
        children.run(judging.train(folder, kind), children.count_changes(folder, file))
        return file.stat().st_size

    def run(folder, share):
        before = children.at_change(1 + int(share * changes()), folder)
        ended = children.run(judging.train(folder, kind), before)
        return bench.judged(folder, ended, kind=kind, least=judging.latest(folder))

    del draw
    for i in range(count):
        name = f"{i}: after {i}/{count} of all changes"
        yield Fault("kill -9 before a file is changed", name, functools.partial(run, share=i / count))


def storms(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """SIGTERM and Ctrl-C, many times."""

    def run(folder, begin, numbers, pauses):
        child = children.Child(judging.train(folder))
        time.sleep(begin)
        for number, pause in zip(numbers, pauses):
            child.kill(number)
            time.sleep(pause)
        return bench.judged(folder, child.wait(), least=judging.latest(folder))

    for i in range(count):
        begin, times = 0.3 + 3 * draw.random(), draw.randint(2, 20)
        numbers = draw.choices([signal.SIGTERM, signal.SIGINT], k=times)
        pauses = [0.2 * draw.random() ** 2 for _ in numbers]
        name = f"{i}: {times} signals from {begin:.1f} s on"
        work = functools.partial(run, begin=begin, numbers=numbers, pauses=pauses)
        yield Fault("storm of SIGTERM and SIGINT", name, work)


def two_starts(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Two commands in one folder, of one config or of two."""

    def run(folder, other, delay) -> Outcome:
        one = children.Child(judging.train(folder))
        time.sleep(delay)
        two = children.Child(judging.train(folder, other))
        ended = one.wait(), two.wait()
        refused = [each for each in ended if each.status == 2]
        found = bench.judged(folder, *ended, least=judging.latest(folder), log=False, mend=lambda: None)
        if found.silent and not found.lost:  # the other config may have won
            found = bench.judged(folder, *ended, kind=other, least=judging.latest(folder))
        if len(refused) == 2:
            return found._replace(lost=True, about=found.about + "both refused")
        return found

    for i in range(count):
        other, delay = ("plain", "other")[i % 2], draw.choice([0.0, 0.05, 0.5, 1.0, 2.0])
        name = f"{i}: plain and {other}, {delay} s later"
        yield Fault("two starts in one folder", name, functools.partial(run, other=other, delay=delay))
