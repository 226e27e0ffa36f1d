"""What became of a run after a fault: the same command once more, compared with a run that had none."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaos import children, config
from chaos.children import Ended

from diffjax.training import layout, seal, watching

CONFIG = Path(config.__file__)
SCRATCH = ("*.tmp", "*.orbax-checkpoint-tmp*", ".reading-*", ".unfinished.*")


class Outcome(NamedTuple):
    """How it ended ("went on" or "refused"), and what must not be; `about` says what was seen."""

    ended: str
    lost: bool = False
    silent: bool = False
    raw: bool = False
    left: bool = False
    about: str = ""

    @property
    def bad(self) -> bool:
        """Whether anything was as it must not be."""
        return self.lost or self.silent or self.raw or self.left


class Fault(NamedTuple):
    """One fault: its kind, what it is, and `run(folder) -> Outcome` with an empty folder of its own."""

    kind: str
    name: str
    run: Callable[[Path], Outcome]


class Whole(NamedTuple):
    """A run without a fault."""

    folder: Path
    digest: str
    rows: dict[int, dict[str, float]]


class Bench:
    """Undisturbed runs, made when they are asked for, and the place where the disturbed ones are."""

    def __init__(self, place: Path):
        self.place = place
        self.whole = functools.cache(self._whole)

    def _whole(self, kind: str) -> Whole:
        folder = self.place / f"whole_{kind.replace('/', '_')}"
        shutil.rmtree(folder, ignore_errors=True)
        ended = children.run(train(folder, kind))
        if ended.status != 0 or ended.digest is None:
            raise RuntimeError(f"the undisturbed run {kind} ended with {ended}")
        return Whole(folder, ended.digest, rows(folder))

    def judged(
        self,
        folder: Path,
        *before: Ended,
        kind: str = "plain",
        least: int = 0,
        mend: Callable[[], object] | None = None,
        log: bool = True,
        digest: str | None = None,
    ) -> Outcome:
        """Run the command again and compare.

        Args:
          folder: of the disturbed run.
          *before: how its commands ended.
          kind: of its config.
          least: the step that it must go on from, or a later one.
          mend: puts back what was damaged, for when the command refuses to go on without.
          log: whether the rows of the log must be those of the whole run.
          digest: that it must end with; None: of the whole run.
        """
        whole, again = self.whole(kind), children.run(train(folder, kind))
        ended, all_of_them = "went on", [*before, again]
        if again.status == 2 and mend is not None:
            ended = "refused"
            mend()
            again = children.run(train(folder, kind))
            all_of_them.append(again)
        begun = -1 if again.begun is None else again.begun
        complete, broken = layout.folders(layout.root(folder)), sound(folder)
        finished = again.status == 0 and config.STEPS in complete and not broken
        silent = finished and again.digest != (digest or whole.digest)
        if finished and log:
            silent |= rows(folder) != whole.rows
        about = "" if finished else f"{again.status} {broken} {again.told[-2000:]}"
        if silent:
            about += f" {again.digest} {sorted(rows(folder))}"
        if begun < least:
            about += f" begun at {begun}, not {least}"
        raw = [each for each in all_of_them if each.raw]
        about += "".join(each.told[-4000:] for each in raw)
        scratch = left(folder)
        about += f" {scratch}" if scratch else ""
        return Outcome(ended, not finished or begun < least, silent, bool(raw), bool(scratch), about)


def train(folder: Path, kind: str = "plain", *more: str) -> list[str]:
    """Return the command that trains in a folder."""
    return ["train", f"--config={CONFIG}:{kind}", f"--workdir={folder}", "--cpu_devices=1", *more]


def latest(folder: Path) -> int:
    """Return the last step of which there is a whole checkpoint; 0 where there is none."""
    return max(layout.folders(layout.root(folder)), default=0)


def rows(folder: Path) -> dict[int, dict[str, float]]:
    """Return the rows of the log by their steps, without what clocks say."""
    found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {
        row["step"]: {key: value for key, value in row.items() if key not in watching.CLOCKS} for row in found
    }


def sound(folder: Path) -> str:
    """Return what is wrong with the checkpoints of a run, nothing where nothing is."""
    root = layout.root(folder)
    for step in layout.folders(root):
        try:
            layout.check(root / str(step))
            seal.check(root / str(step), layout.ITEMS)
        except ValueError as error:
            return f"{step}: {error}"
    return ""


def left(folder: Path) -> list[str]:
    """Return the scratch files in a folder."""
    return [str(path) for pattern in SCRATCH for path in folder.rglob(pattern)]
