"""Runs read back: their config, their system and what it samples with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.systems import older, stages
from diffjax.systems.options import nearest, of_json
from diffjax.training import checkpoints, sharding
from diffjax.training import workdir as run_folder
from diffjax.training.system import System, Variables


class Loaded(NamedTuple):
    """What can be sampled, measured, or looked at.

    Attributes:
      system: of the config.
      variables: what it serves, and what it stands on.
      step: of the checkpoint; None of a pipeline, which has none.
    """

    system: System
    variables: Variables
    step: int | None


def load(
    run: str | Path | ConfigDict,
    ema: bool | str | float = True,
    step: int | str | None = None,
    mesh: Mesh | None = None,
    config: ConfigDict | None = None,
) -> Loaded:
    """Load a trained run, or a pipeline of trained runs.

    Args:
      run: the run's folder; or the config of a pipeline, whose `stages` name runs.
      ema: the moving average (by its name, where a run follows several; or by its relative width, made of
        snapshots), or the parameters as trained.
      step: of the checkpoint, or "best"; None for the latest.
      mesh: where the variables are laid out; None: on the default device.
      config: in the place of the run's own, e.g. with another sampler.

    Returns:
      Loaded.

    Raises:
      ValueError: if the folder is no run or has no checkpoint, or names or shapes differ from the config's
        network; it names the first.
    """
    if not isinstance(run, str | Path):
        system = systems.build(run)
        if system.updates:
            raise ValueError(
                f"system {run.system!r} is trained: give its run's folder; a config alone is a pipeline's"
            )
        if step is not None or ema is not True:
            raise ValueError(
                f"ema and step must be left out: each stage of a pipeline has its own; got {ema!r}, {step!r}"
            )
        return Loaded(system, _placed(Variables(frozen=system.prepare(None)[0]), mesh), None)
    workdir = run_folder.local(run)
    config = load_config(workdir, config)
    system, step = systems.build(config, workdir), stages.step_of(workdir, step, config)
    values, step = checkpoints.restore_served(workdir, system.serves, ema=ema, step=step)
    variables = stages.placed(system, older.named(values), system.prepare(workdir)[0], str(workdir))
    return Loaded(system, _placed(variables, mesh), step)


def _placed(variables, mesh):
    if mesh is None:
        return variables
    return jax.device_put(variables, sharding.shardings(mesh, variables, sharding.replicated))


def load_config(workdir: str | Path, config: ConfigDict | None = None) -> ConfigDict:
    """Read the config that a run was started with.

    Args:
      workdir: the run's folder.
      config: to use in its place, e.g. with another sampler; None for the run's own.

    Returns:
      The ConfigDict; JSON's lists are tuples again.

    Raises:
      ValueError: if there is no such folder, no readable `config.json` in it (and no `config` given), or
        `config` has another system, network or shape of data.
    """
    workdir = run_folder.local(workdir)
    if not workdir.is_dir():
        raise ValueError(f"no such workdir: {workdir}")
    if not (workdir / "config.json").is_file():
        if config is not None:  # e.g. of a run that was trained by `training.fit`
            return config
        inside = [each for each in sorted(workdir.iterdir()) if (each / "config.json").is_file()]
        if inside:
            raise ValueError(f"workdir {workdir} is several runs: name one, {' or '.join(map(str, inside))}")
        raise ValueError(
            f"workdir {workdir} has no config.json: it is not a run's folder, or was trained without the "
            "command; --config says what was trained there"
        )
    own = ConfigDict(of_json(run_folder.read_config(workdir)))
    if config is None:
        return own
    for section in ("system", *systems.module(own).IDENTITY):
        given, there = (
            json.dumps(_identity(section, each.to_dict().get(section)), sort_keys=True)
            for each in (config, own)
        )
        if given != there:
            raise ValueError(f"config.{section} is {given}, but the run in {workdir} has {there}")
    return config


def overridden(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Return a copy of a config with other values by dotted keys, e.g. {"sampler.steps": 10}.

    Raises:
      ValueError: for a section that is not there.
    """
    config = ConfigDict(config.to_dict())
    for key, value in changes.items():
        *path, last = key.split(".")
        place = config
        for part in path:
            if part not in place or not isinstance(place[part], ConfigDict):
                raise ValueError(f"config has no section {part!r} of {key!r}{nearest(part, place)}")
            place = place[part]
        with config.ignore_type(), config.unlocked():
            place[last] = value
    return config


def _identity(section, fields):
    """Return the part of a section that a network depends on: where data lie does not matter."""
    if section != "data" or not isinstance(fields, Mapping):
        return fields
    return {key: fields.get(key) for key in ("name", "shape", "num_classes")}
