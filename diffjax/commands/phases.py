"""A config's phases: overrides, each a run in a folder of its own, the one before its teacher."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffjax.commands.loading import overridden
from diffjax.systems.options import is_section

PREVIOUS = "previous"  # stands for the folder of the phase before


def of(config: ConfigDict, folder: Path) -> list[tuple[ConfigDict, Path]]:
    """Return the config and the folder of each phase; a config without phases is one itself.

    `config.phases` is a list of dicts of a "name", the run's folder below the workdir, and of overrides by
    dotted keys: `{"name": "steps_64", "objective.steps": 64, "teacher.workdir": "previous"}`.

    Raises:
      ValueError: for a phase without a name of its own, an override of a section that is not there, or a
        "previous" in the first one.
    """
    given = config.get("phases") or ()
    if not isinstance(given, list | tuple):
        raise ValueError(f"config.phases must be a list of dicts, each with a name; got {given!r}")
    if not given:
        return [(config, folder)]
    names = [_name(each) for each in given]
    if len(set(names)) != len(names):
        raise ValueError(f"config.phases must have names of their own, got {', '.join(names)}")
    before, made = None, []
    for name, each in zip(names, given):
        changes = {key: _resolved(key, value, before) for key, value in dict(each).items() if key != "name"}
        before = folder / name
        made.append((overridden(config, {**changes, "phases": ()}), before))
    return made


def _name(phase: Any) -> str:
    name = phase.get("name") if is_section(phase) else None
    if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
        raise ValueError(f"each of config.phases must be a dict with a name for its folder, got {phase!r}")
    return name


def _resolved(key: str, value: Any, before: Path | None) -> Any:
    if is_section(value):
        return {name: _resolved(f"{key}.{name}", each, before) for name, each in value.items()}
    if value != PREVIOUS:
        return value
    if before is None:
        raise ValueError(f"the first of config.phases has no phase before it, got {key}={PREVIOUS!r}")
    return str(before)
