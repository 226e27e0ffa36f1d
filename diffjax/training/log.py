"""Where the progress of a run goes: rows to files, a bar to the terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from diffjax.training import metrics, watching
from diffjax.training import progress as shown


class Log(NamedTuple):
    """`tick()` each step, `write(step, row)` at log steps, `close()`; and what counts the speed."""

    tick: Callable[[], None]
    write: Callable[[int, metrics.Row], None]
    close: Callable[[], None]
    rates: watching.Rates


def log_to(
    workdir: Path,
    start: int,
    num_steps: int,
    rates: watching.Rates,
    writers: Sequence[Callable[[str | Path, int], metrics.Writer]] = (),
    progress: bool = True,
) -> Log:
    """Open the log of a run; every process does, the first one alone writes.

    Args:
      workdir: the run's folder.
      start: the step the run goes on from.
      num_steps: of the whole run.
      rates: what each row tells of speed.
      writers: see `metrics`; `metrics.jsonl` is always one.
      progress: show a bar.
    """
    first = jax.process_index() == 0
    sinks = [opener(workdir, start) for opener in (metrics.jsonl, *writers)] if first else []
    bar = shown.bar(
        total=num_steps, initial=start, unit="step", desc="compiling", smoothing=0.05,
        disable=not (progress and first),
    )  # fmt: skip

    def write(n, row):
        row = {**row, **rates.row(n)}
        for sink in sinks:
            sink.write(n, row)
        bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)

    def tick():
        if bar.n == start:
            bar.unpause()  # compiled: the clock starts here
            bar.set_description("training")
        bar.update()

    def close():
        bar.close()
        while sinks:
            sinks.pop().close()

    return Log(tick, write, close, rates)
