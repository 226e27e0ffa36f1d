"""Trained systems that another one stands on: read where they are, or copied into the run that needs them.

A config says `{"workdir": ..., "ema": True, "step": None}` of a run, with other sections beside them that
take the place of the run's own (another sampler), or `{"pretrained": file, "architecture": name}`.

What training stands on is copied once to `<run>/stages/<name>/`: its config, what it serves, and its own
stages. Its identity is the checksum of the arrays and not a path, so the run can be moved and its teacher's
folder deleted. Equal checksums are read once.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import pretrained, systems
from diffjax.systems import older
from diffjax.training import checkpoints, workdir
from diffjax.training.system import System, Variables, nothing_to_prepare

FOLDER = "stages"
_OWN = ("workdir", "ema", "step", "pretrained", "architecture", "config")  # the rest are sections
_read: dict[str, Variables] = {}  # by checksum


class Stage(NamedTuple):
    """A trained system.

    Attributes:
      system: what may be asked of it.
      read: folder -> Variables of what it serves; a folder is that of the run that stands on it, where a copy
        is made and read, None reads it where it is.
      shapes: () -> Variables of `jax.ShapeDtypeStruct`.
    """

    system: System
    read: Callable[[str | Path | None], Variables]
    shapes: Callable[[], Variables]


def stage(given: Mapping[str, Any], folder: str | Path | None, name: str) -> Stage:
    """Make the stage that a section of a config names.

    Args:
      given: the section, see above.
      folder: of the run that stands on it, whose copy comes first; None reads it where it is.
      name: of the stage, for its copy and for messages.

    Raises:
      ValueError: if neither a run nor a published file is named, or there is none.
    """
    given = dict(given)
    if ("workdir" in given) == ("pretrained" in given):
        raise ValueError(f"config.{name} must have one of workdir and pretrained; got {sorted(given)}")
    if "pretrained" in given:
        return _published(given, name)
    copy = None if folder is None else Path(folder) / FOLDER / name
    home = copy if copy is not None and (copy / "stage.json").is_file() else Path(given["workdir"])
    sections = {key: value for key, value in given.items() if key not in _OWN}
    config = _with(_config_of(home, name), sections)
    system = systems.build(config, home)
    how = {"ema": given.get("ema", True), "step": given.get("step")}

    def read(into):
        if into is None:
            return _read_run(system, home, name, **how)
        target = Path(into) / FOLDER / name
        if not (target / "stage.json").is_file():
            _copy(system, Path(given["workdir"]), target, name, **how)
        return _read_copy(system, target, name)

    return Stage(system, read, partial(shapes, system))


def prepare(stages: Mapping[str, Stage]) -> Callable:
    """Return the `System.prepare` that reads stages: frozen is {name: Variables}."""

    def prepared(folder, source=None):
        return {name: each.read(folder) for name, each in stages.items()}, source

    return prepared if stages else nothing_to_prepare


def shapes(system: System) -> Variables:
    """Return the shapes of what a system serves, of params and extra each under its name."""
    params, extra = jax.eval_shape(system.init, jax.random.key(0), system.example, system.frozen)
    own = lambda names: {name: tree for name, tree in names.items() if name in system.serves}
    return Variables(own(params), own(extra), system.frozen)


def placed(system: System, values: Mapping[str, Any], frozen: Any, where: str) -> Variables:
    """Return what a system serves as Variables, each tree checked against the shapes of the system.

    Args:
      system: of a config.
      values: {name: tree} as they were read.
      frozen: of the system.
      where: they are from, for messages.

    Raises:
      ValueError: for the first array of another shape, by its name.
    """
    expected = shapes(system)
    wanted = {**expected.params, **expected.extra}
    found, needed = (
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in ({name: values[name] for name in wanted if name in values}, wanted)
    )
    for name in sorted(found.keys() | needed.keys()):
        if found.get(name) != needed.get(name):
            raise ValueError(
                f"checkpoint of another model in {where}: {name} has shape {found.get(name, 'none')} "
                f"there and {needed.get(name, 'none')} in config.model"
            )
    own = lambda names: {name: values.get(name, {}) for name in names}
    return Variables(own(expected.params), own(expected.extra), frozen)


def checksum(tree: Any) -> str:
    """Return a checksum of the names, shapes and bytes of a tree's arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape} ".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _config_of(home: Path, name: str) -> ConfigDict:
    if not (home / "config.json").is_file():
        raise ValueError(f"config.{name}.workdir must be the folder of a run; {home} has no config.json")
    return ConfigDict(workdir.read_config(home))


def _with(config: ConfigDict, sections: Mapping[str, Any]) -> ConfigDict:
    for section, fields in sections.items():
        if section not in config:
            raise ValueError(f"a stage has no section {section!r}; its run has {', '.join(config)}")
        config[section].update(fields)
    return config


def _read_run(system: System, home: Path, name: str, ema, step) -> Variables:
    values, _ = checkpoints.restore_served(home, system.serves, ema=ema, step=step)
    frozen, _ = system.prepare(home)
    return placed(system, older.named(values), frozen, f"{home} (config.{name})")


def _copy(system: System, home: Path, target: Path, name: str, ema, step) -> None:
    """Copy a run's config, stages, and what it serves; whole or not at all."""
    values, found = checkpoints.restore_served(home, system.serves, ema=ema, step=step)
    served = {each: tree for each, tree in older.named(values).items() if each in system.serves}
    scratch = target.with_name(f".{name}.unfinished")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    checkpoints.write_tree(scratch / "variables", served)
    shutil.copy(home / "config.json", scratch / "config.json")
    for kept in (FOLDER, workdir.PREPARED):
        if (home / kept).is_dir():
            shutil.copytree(home / kept, scratch / kept)
    about = {"from": str(home), "ema": ema, "step": found, "checksum": checksum(served)}
    workdir.write(scratch / "stage.json", json.dumps(about, indent=2) + "\n")
    scratch.rename(target)


def _read_copy(system: System, target: Path, name: str) -> Variables:
    about = json.loads((target / "stage.json").read_text())
    if about["checksum"] in _read:
        return _read[about["checksum"]]
    values = checkpoints.read_tree(target / "variables")
    if checksum(values) != about["checksum"]:
        raise ValueError(f"{target / 'variables'} is not what was written: its checksum is another one")
    frozen, _ = system.prepare(target)
    _read[about["checksum"]] = placed(system, values, frozen, f"{target} (config.{name})")
    return _read[about["checksum"]]


def _published(given: Mapping[str, Any], name: str) -> Stage:
    """Return a published network as a system that only has it: `features(variables)["network"]`."""
    for key in given:
        if key not in ("pretrained", "architecture", "config"):
            raise ValueError(f"config.{name} of a published file has no {key!r}")
    if "architecture" not in given:
        raise ValueError(f"config.{name}.architecture is missing")
    options = given.get("config")
    module, variables = pretrained.load(
        given["pretrained"], given["architecture"], None if options is None else dict(options)
    )
    found = Variables({"network": variables["params"]})
    system = System(
        example={},
        init=lambda key, batch, frozen: ({"network": variables["params"]}, {}),
        updates=(),
        serves=("network",),
        features=lambda v: {"network": partial(module.apply, {"params": v.params["network"]})},
    )
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found)
    return Stage(system, lambda folder: found, lambda: abstract)
