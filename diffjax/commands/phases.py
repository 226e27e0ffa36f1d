"""A config's phases: overrides, each a run in a folder of its own, the one before its teacher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffjax.commands.loading import overridden

PREVIOUS = "previous"  # stands for the folder of the phase before


def of(config: ConfigDict, folder: Path) -> Iterator[tuple[ConfigDict, Path]]:
    """Yield the config and the folder of each phase; a config without phases is one itself.

    `config.phases` is a list of dicts of a "name", the run's folder below the workdir, and of overrides by
    dotted keys: `{"name": "steps_64", "objective.steps": 64, "teacher.workdir": "previous"}`.

    Raises:
      ValueError: for a phase without a name of its own, or a "previous" in the first one.
    """
    given = config.get("phases") or ()
    if not given:
        yield config, folder
        return
    names = [_name(each) for each in given]
    if len(set(names)) != len(names):
        raise ValueError(f"config.phases must have names of their own, got {', '.join(names)}")
    before = None
    for name, each in zip(names, given):
        changes = {key: _resolved(key, value, before) for key, value in dict(each).items() if key != "name"}
        before = folder / name
        yield overridden(config, {**changes, "phases": ()}), before


def _name(phase: Any) -> str:
    name = phase.get("name") if isinstance(phase, dict | ConfigDict) else None
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"each of config.phases must be a dict with a name for its folder, got {phase!r}")
    return name


def _resolved(key: str, value: Any, before: Path | None) -> Any:
    if value != PREVIOUS:
        return value
    if before is None:
        raise ValueError(f"the first of config.phases has no phase before it, got {key}={PREVIOUS!r}")
    return str(before)
