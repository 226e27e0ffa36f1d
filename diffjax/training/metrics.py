"""Metrics of a run: running means, `metrics.jsonl`, optional TensorBoard and wandb, the loss curve."""

import contextlib
import importlib
import io
import json
import math
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from absl import logging

from diffjax.training import workdir as files

Row = Mapping[str, float]

FILE = "metrics.jsonl"
_HELD_OUT = "held out"


class Running(NamedTuple):
    """Sums of metrics over some steps, in double precision.

    Attributes:
      count: steps summed.
      sums: a sum for each metric.
    """

    count: int = 0
    sums: Mapping[str, float] = {}


def add(running: Running, rows: Iterable[Row]) -> Running:
    """Add steps one after another, so that where a run was interrupted does not show in the sums.

    Args:
      running: the sums so far.
      rows: the metrics of each further step, host scalars.

    Returns:
      The new sums.
    """
    for row in rows:
        sums = {name: running.sums.get(name, 0.0) + float(value) for name, value in row.items()}
        running = Running(running.count + 1, sums)
    return running


def means(running: Running) -> dict[str, float]:
    """Divide the sums by the count.

    Args:
      running: sums over at least one step.

    Returns:
      The mean of each metric.
    """
    return {name: total / running.count for name, total in running.sums.items()}


class Writer(NamedTuple):
    """Somewhere rows go.

    Attributes:
      write: `write(step, row)`.
      close: `close()`.
    """

    write: Callable[[int, Row], None]
    close: Callable[[], None]


def jsonl(workdir: str | Path, step: int) -> Writer:
    """Open `workdir/metrics.jsonl` to go on after `step`.

    Rows beyond `step` belong to work that was lost and will be done again: they are dropped, as are lines
    that a crash has damaged, with a warning. So the file has each step once.

    Args:
      workdir: the run's folder.
      step: the step the run goes on from; 0 at its start.

    Returns:
      The writer. Each row is one line, handed to the operating system at once.
    """
    path = files.local(workdir) / FILE
    rows, broken = _parsed(path) if path.exists() else ([], {})
    if broken:
        damaged = path.with_name(f"{FILE}.damaged")
        files.write(damaged, path.read_text(encoding="utf-8", errors="replace"))
        _warn(path, broken, f"; the file as it was is {damaged.name}")
    files.write(path, "".join(_line(row) for row in rows if row["step"] <= step))
    file = path.open("a", buffering=1, encoding="utf-8")

    def write(step, row):
        with files.naming(path):
            file.write(_line({"step": step, **row}))

    def close():
        with contextlib.suppress(OSError):  # it was raised when the line was written
            file.close()

    return Writer(write, close)


def _line(row: Row) -> str:
    """Write a row as one line of JSON, which has no NaN: null stands for what is not finite."""
    return json.dumps({name: value if math.isfinite(value) else None for name, value in row.items()}) + "\n"


def tensorboard(workdir: str | Path, step: int) -> Writer:
    """Open TensorBoard events in `workdir/tensorboard`.

    Args:
      workdir: the run's folder.
      step: the step the run goes on from; later events are hidden.

    Returns:
      The writer.

    Raises:
      ValueError: if tensorboardX is not installed.
    """
    folder = files.local(workdir) / "tensorboard"
    events = _package("tensorboard").SummaryWriter(str(folder), purge_step=step + 1)

    def write(step, row):
        with files.naming(folder):
            for name, value in row.items():
                events.add_scalar(name, value, step)
            events.flush()

    return Writer(write, events.close)


def wandb(workdir: str | Path, step: int) -> Writer:
    """Open a Weights & Biases run named after the workdir.

    Its id is drawn when the run begins and kept in `workdir/wandb_id`, so that a resumed run goes on and no
    other one of that name does. Project, mode and key come from wandb's own settings.

    Args:
      workdir: the run's folder.
      step: the step the run goes on from; wandb itself drops what it already has.

    Returns:
      The writer.

    Raises:
      ValueError: if wandb is not installed.
    """
    client, workdir = _package("wandb"), files.local(workdir).absolute()
    kept = workdir / "wandb_id"
    if step == 0 or not kept.is_file():
        files.write(kept, uuid.uuid4().hex)
    own = kept.read_text(encoding="utf-8").strip()
    run = client.init(dir=str(workdir), name=workdir.name, id=own, resume="allow")
    return Writer(lambda step, row: run.log(dict(row), step=step), run.finish)


_WRITERS = {"tensorboard": tensorboard, "wandb": wandb}
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def writer(name: str) -> Callable[[str | Path, int], Writer]:
    """Return what opens a writer, "tensorboard" or "wandb".

    Raises:
      ValueError: for another name, or if its package is not installed.
    """
    if name not in _WRITERS:
        raise ValueError(f"writers must be among {', '.join(_WRITERS)}; got {name!r}")
    _package(name)
    return _WRITERS[name]


def _package(name: str) -> ModuleType:
    package = _PACKAGES[name]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(f"writer {name!r} needs {package}: pip install 'diffjax[{name}]'") from error


def read(workdir: str | Path) -> list[dict[str, float]]:
    """Read `workdir/metrics.jsonl`.

    Args:
      workdir: the run's folder.

    Returns:
      Its rows in order; lines that are none are left out, with a warning. A value that is null there,
      because it was not finite, is NaN.

    Raises:
      ValueError: if there is no such file.
    """
    path = files.local(workdir) / FILE
    if not path.exists():
        raise ValueError(f"no {FILE} in workdir {workdir}")
    rows, broken = _parsed(path)
    if broken:
        _warn(path, broken)
    return rows


def _parsed(path: Path) -> tuple[list[dict[str, float]], dict[int, str]]:
    """Return the rows of a file, and how the lines begin that are none, by their numbers.

    A last line that does not end was cut off when the run was killed, and is neither.
    """
    *lines, last = path.read_bytes().split(b"\n")
    found = {i: _row(line) for i, line in enumerate(lines, start=1)}
    rows = [row for row in (*found.values(), _row(last)) if row is not None]
    return rows, {i: lines[i - 1][:60].decode(errors="replace") for i, row in found.items() if row is None}


def _row(line: bytes) -> dict[str, float] | None:
    try:
        row = {name: math.nan if value is None else value + 0 for name, value in json.loads(line).items()}
        return {"step": int(row.pop("step")), **row}
    except (ValueError, TypeError, KeyError, AttributeError):  # ValueError: no JSON, or no text
        return None


def _warn(path: Path, broken: Mapping[int, str], kept: str = "") -> None:
    first, start = next(iter(broken.items()))
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    what = "is not a row of metrics and is left out"
    logging.warning("%s, line %d%s %s: %r%s", path, first, more, what, start, kept)


def curves(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[list[float], list[float]]]:
    """Return steps and losses {name: (steps, losses)} of rows: in training, of each update, and held out.

    Args:
      rows: of `read`. An update's numbers stand under "<update>/", where there are several.
    """
    names = {name for row in rows for name in row}
    updates = sorted(name.removesuffix("/grad_norm") for name in names if name.endswith("/grad_norm"))
    keys = {update: f"{update}/loss" for update in updates} or {"training": "loss"}
    if "held_out/loss" in names:
        keys[_HELD_OUT] = "held_out/loss"
    found = {name: [row for row in rows if key in row] for name, key in keys.items()}
    return {
        name: ([row["step"] for row in own], [row[keys[name]] for row in own]) for name, own in found.items()
    }


def plot_loss(workdir: str | Path) -> Path:
    """Draw the loss against the step into `workdir/loss.png`, see `curves`.

    Args:
      workdir: the run's folder, with `metrics.jsonl`.

    Returns:
      The file's path.

    Raises:
      ValueError: if there is no `metrics.jsonl`.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    rows = read(workdir)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    lines = curves(rows)
    for name, (steps, losses) in lines.items():
        axes.plot(steps, losses, linewidth=1, label=name, marker="." if name == _HELD_OUT else None)
    if len(lines) > 1:
        axes.legend()
    if rows and all(0 < loss < math.inf for _, losses in lines.values() for loss in losses):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        ends = [end for _, losses in lines.values() if losses for end in (min(losses), max(losses))]
        if max(ends) < 10 * min(ends):  # less than a decade has few round numbers, or none
            axes.yaxis.set(major_locator=MaxNLocator(6), minor_locator=NullLocator())
    axes.set(xlabel="step", ylabel="loss")
    name = Path(workdir).absolute().name.encode("utf-8", "replace").decode()
    axes.set_title(name, parse_math=False)  # a folder may be called "$x$"
    axes.yaxis.set_minor_formatter(axes.yaxis.get_major_formatter())
    axes.grid(alpha=0.3, which="both")
    path, drawn = files.local(workdir) / "loss.png", io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        figure.savefig(drawn, dpi=120, format="png")
    files.write(path, drawn.getvalue())
    return path
