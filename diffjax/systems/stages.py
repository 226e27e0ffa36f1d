"""Trained systems that another one stands on: read where they are, or copied into the run that needs them.

A config says `{"workdir": ..., "ema": True, "step": None}` of a run, with values beside them that take the
place of those in the run's own sections (another sampler), or `{"pretrained": file, "architecture": name}`;
of a CLIP `{"pretrained": folder}`, see `systems.published_clip`.

What training stands on is copied once to `<run>/stages/<name>/`: its config, what it serves, and its own
stages; a published file as it is. Its identity is the checksum of the arrays and not a path, so the run can
be moved and its teacher's folder deleted; a config that names another one later is refused. Those of equal
checksums are held in memory once.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import files, pretrained, systems
from diffjax.pretrained.files import one_file
from diffjax.systems import codecs, networks, older, read
from diffjax.systems.options import is_section, of_json
from diffjax.training import checkpoints, workdir
from diffjax.training.system import System, Variables, nothing_to_prepare

FOLDER = "stages"
_ABOUT = "stage.json"  # what a copy is of; written last
_NOT_COPIED = (".*", "weak_*")  # what is unfinished, and what guides sampling alone; of a run in itself, too
_AGAIN = "; without {} it is copied again"
_OWN = ("workdir", "ema", "step", "pretrained", "architecture", "config")  # the rest are sections
_read: dict[Any, Variables] = {}  # by checksums
_files: dict[Any, tuple[Any, Variables]] = {}  # by their places, and what they were read as


class Stage(NamedTuple):
    """A trained system.

    Attributes:
      system: what may be asked of it.
      read: folder -> Variables of what it serves; a folder is that of the run that stands on it, where a copy
        is made and read, None reads it where it is.
      shapes: () -> Variables of `jax.ShapeDtypeStruct`.
      config: of the run; None of a published file.
    """

    system: System
    read: Callable[[str | Path | None], Variables]
    shapes: Callable[[], Variables]
    config: ConfigDict | None = None


def stage(
    given: Mapping[str, Any] | ConfigDict, folder: str | Path | None, name: str, copied: str | None = None
) -> Stage:
    """Make the stage that a section of a config names.

    Args:
      given: the section, see above.
      folder: of the run that stands on it, whose copy comes first; None reads it where it is.
      name: of the stage, for messages.
      copied: folder of its copy; None for the name.

    Raises:
      ValueError: if neither a run nor a published file is named, or there is none.
    """
    if not is_section(given):
        raise ValueError(f"config.{name} must be a dict with one of workdir and pretrained; got {given!r}")
    given = dict(given)
    if ("workdir" in given) == ("pretrained" in given):
        raise ValueError(f"config.{name} must have one of workdir and pretrained; got {sorted(given)}")
    copied = copied or name
    copy = copy_in(folder, copied)
    if "pretrained" in given:
        return _published(given, folder, copy, name)
    if not isinstance(given["workdir"], str | Path):
        raise ValueError(f"config.{name}.workdir must be the folder of a run, got {given['workdir']!r}")
    origin = workdir.local(given["workdir"])
    home = origin if copy is None else copy
    config = _with(
        _config_of(home, name), {key: each for key, each in given.items() if key not in _OWN}, name
    )
    built = systems.build(config, home)
    system = built._replace(
        prepare=lambda into, source=None: built.prepare(home if into is None else into, source)
    )
    how = {"ema": given.get("ema", True), "step": step_of(home, given.get("step"), config)}

    def read_it(into):
        if into is None:
            return _read_run(system, home, name, **how)
        target = Path(into) / FOLDER / copied
        with workdir.first_process(target) as first:
            if first and (target / _ABOUT).is_file():
                _check_copy(system, origin, target, name, **how)
            elif first:
                _copy(system, origin, target, **how)
        return _read_copy(system, target, name)

    return Stage(system, read_it, partial(shapes, system), config)


def copy_in(folder: str | Path | None, name: str) -> Path | None:
    """Return where the run of a folder has its copy of a stage; None where it has none yet."""
    copy = None if folder is None else Path(folder) / FOLDER / name
    return copy if copy is not None and (copy / _ABOUT).is_file() else None


def prepare(stages: Mapping[str, Stage]) -> Callable:
    """Return the `System.prepare` that reads stages: frozen is {name: Variables}."""

    def prepared(folder, source=None):
        return {name: each.read(folder) for name, each in stages.items()}, source

    return prepared if stages else nothing_to_prepare


def beside(system: System, name: str, one: Stage) -> System:
    """Return a system that stands on one more stage, which is read into its frozen variables."""

    def prepared(folder, source=None):
        frozen, source = system.prepare(folder, source)
        return {**frozen, name: one.read(folder)}, source

    frozen, stages = {**system.frozen, name: one.shapes()}, {**system.stages, name: one}
    return system._replace(frozen=frozen, prepare=prepared, stages=stages)


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
    return ConfigDict(of_json(workdir.read_config(home)))


def _with(config: ConfigDict, sections: Mapping[str, Any], name: str) -> ConfigDict:
    """Return the config of a run with other values in its sections, but for those that were trained."""
    own = {key: value for key, value in config.to_dict().items() if is_section(value)}
    for section, fields in sections.items():
        if section not in own or section in systems.module(config).IDENTITY:
            free = ", ".join(key for key in own if key not in systems.module(config).IDENTITY)
            raise ValueError(f"config.{name} may change {free} of its run; got {section!r}")
        if not is_section(fields):
            raise ValueError(f"config.{name}.{section} must be a dict; got {fields!r}")
        change = read.resampled if section == "sampler" else lambda old, new: {**old, **new}
        own[section] = change(own[section], dict(fields))
    return ConfigDict({**config.to_dict(), **own})


def step_of(home: Path, step: int | str | None, config: ConfigDict) -> int | None:
    """Return the checkpoint of a run that is meant, where "best" is by `training.best_metric`."""
    if not isinstance(step, str):
        return step
    if step != "best":
        raise ValueError(f"step must be a number, 'best' or None, got {step!r}")
    if (home / _ABOUT).is_file():  # a copy is of one alone
        return None
    return checkpoints.best_step(home, config.get("training", {}).get("best_metric", "loss"))


def _read_run(system: System, home: Path, name: str, ema, step) -> Variables:
    values, _ = checkpoints.restore_served(home, system.serves, ema=ema, step=step)
    return _held_once(system, home, older.named(values), checksum(values), name)


def _served(system: System, home: Path, ema, step) -> tuple[dict[str, Any], int]:
    values, found = checkpoints.restore_served(home, system.serves, ema=ema, step=step)
    return {each: tree for each, tree in older.named(values).items() if each in system.serves}, found


def _copy(system: System, home: Path, target: Path, ema, step) -> None:
    """Copy a run's config, stages, and what it serves; whole or not at all."""
    served, found = _served(system, home, ema, step)
    scratch = _scratch(target)
    checkpoints.write_tree(scratch / "variables", served)
    shutil.copy(home / "config.json", scratch / "config.json")
    for kept in (FOLDER, workdir.PREPARED):
        if (home / kept).is_dir():
            shutil.copytree(home / kept, scratch / kept, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    _finish(scratch, target, {"from": str(home), "ema": ema, "step": found, "checksum": checksum(served)})


def _finish(scratch: Path, target: Path, about: Mapping[str, Any]) -> None:
    files.write(scratch / _ABOUT, json.dumps(about, indent=2) + "\n")
    scratch.rename(target)


def _about(target: Path, *keys: str) -> dict[str, Any]:
    return files.read_json(target / _ABOUT, "from", "checksum", *keys, otherwise=_AGAIN.format(target))


def _check_copy(system: System, home: Path, target: Path, name: str, ema, step) -> None:
    """Raise where a config names another stage than the one that was copied; a path alone does not matter."""
    about = _about(target, "ema", "step")
    for key, asked in (("ema", ema), ("step", about["step"] if step is None else step)):
        if about[key] != asked:
            raise ValueError(
                f"config.{name}.{key} is {asked!r}, but the copy in {target} is of {about[key]!r}"
            )
    if str(home) == about["from"] or not (home / "config.json").is_file():
        return
    if checksum(_served(system, home, ema, step)[0]) != about["checksum"]:
        raise ValueError(
            f"config.{name}.workdir is {home}, whose variables are not those of the copy in {target}, of "
            f"{about['from']}"
        )


def _read_copy(system: System, target: Path, name: str) -> Variables:
    told = _about(target)["checksum"]
    identity = _identity(target, told)
    if identity in _read:
        return _read[identity]
    file = target / "variables"
    try:
        values = checkpoints.read_tree(file)
    except Exception as error:  # orbax and tensorstore raise all kinds
        said = files.one_line(error)
        raise ValueError(f"{file} cannot be read: {said}{_AGAIN.format(target)}") from error
    if checksum(values) != told:
        raise ValueError(
            f"{file} is not what was written: its checksum is another one{_AGAIN.format(target)}"
        )
    return _held_once(system, target, values, told, name)


def _held_once(system: System, home: Path, values: Mapping[str, Any], told: str, name: str) -> Variables:
    """Return the variables of a run or copy; those of an equal one where it was read before."""
    found = placed(system, values, system.prepare(home)[0], f"{home} (config.{name})")
    return _read.setdefault(_identity(home, told), found)


def _identity(home: Path, told: str) -> tuple[Any, ...]:
    """Return a checksum, and those of the stages in a folder; what it prepared is of its folder alone."""
    within = [each.parent for each in sorted(home.glob(f"{FOLDER}/*/{_ABOUT}"))]
    own = str(home.absolute()) if (home / workdir.PREPARED).is_dir() else ""
    return (told, own, *((each.name, _identity(each, _about(each)["checksum"])) for each in within))


def _published(given: Mapping[str, Any], folder: Any, copy: Path | None, name: str) -> Stage:
    """Return the stage of a published file."""
    for key in given:
        if key not in ("pretrained", "architecture", "config"):
            raise ValueError(f"config.{name} of a published file has no {key!r}")
    if not isinstance(given["pretrained"], str | Path):
        raise ValueError(f"config.{name}.pretrained must be a file's path, got {given['pretrained']!r}")
    if "architecture" not in given:
        raise ValueError(f"config.{name}.architecture is missing")
    options = given.get("config")
    how = {"architecture": given["architecture"], "config": None if options is None else _plain(options)}
    file = Path(given["pretrained"]) if copy is None else copy / _about(copy, "file")["file"]
    return network(file, how, folder, name)


def network(
    file: Path, how: Mapping[str, Any], folder: str | Path | None, name: str, beside: Sequence[Path] = ()
) -> Stage:
    """Make the stage of a published network, a system that only has it: `features(variables)["network"]`.

    Where its architecture says all shapes and no run stands on it yet, the file need not be there.

    Args:
      file: of its weights, or the copy of it.
      how: architecture and config, of `pretrained.load`.
      folder: see `stage`.
      name: of the stage, and of its copy.
      beside: files that are copied with it.
    """
    described = pretrained.describe(**how) if folder is None else None
    module, found = _loaded(file, how) if described is None else (described[0], _as_variables(described[1]))
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found)
    loaded = cache(lambda: _loaded(file, how)[1])
    told = cache(lambda: checksum(loaded()))
    system = System(
        example={},
        init=lambda key, batch, frozen: loaded()[:2],
        updates=(),
        serves=(*found.params, *found.extra),
        codec=codecs.of_module(module),
        features=lambda v: {"network": networks.evaluating(module, v)},
    )

    def read_it(into):
        target = None if into is None else Path(into) / FOLDER / name
        if target is None:
            return loaded()
        with workdir.first_process(target) as first:
            if first and not (target / _ABOUT).is_file():
                _copy_files((one_file(file), *beside), target, {**how, "checksum": told()})
        if _about(target)["checksum"] != told():
            raise ValueError(f"config.{name} is not what was copied to {target}: its checksum is another one")
        return loaded()

    return Stage(system, read_it, lambda: abstract)


def _loaded(file: Path, how: Mapping[str, Any]) -> tuple[Any, Variables]:
    """Return the network of a published file and its variables; a file is read once, whoever stands on it."""
    place = one_file(file).resolve()
    about = place.stat()
    key = (str(place), about.st_mtime_ns, about.st_size, json.dumps(how, sort_keys=True, default=repr))
    if key not in _files:
        module, tree = pretrained.load(file, **how)
        _files[key] = module, _as_variables(tree)
    return _files[key]


def _plain(tree: Any) -> Any:
    """Return sections within sections as dicts."""
    return {key: _plain(each) for key, each in tree.items()} if is_section(tree) else tree


def _as_variables(tree: Mapping[str, Any]) -> Variables:
    """Return the collections of a module as a system has them."""
    state = {key: each for key, each in tree.items() if key != "params"}
    return Variables({networks.NETWORK: tree["params"]}, {networks.state_name(): state} if state else {})


def _copy_files(given: Sequence[Path], target: Path, about: Mapping[str, Any]) -> None:
    scratch = _scratch(target)
    for file in given:
        shutil.copy(file, scratch / file.name)
    _finish(scratch, target, {"from": str(given[0]), "file": given[0].name, **about})


def _scratch(target: Path) -> Path:
    """Return an empty folder for what is copied whole or not at all."""
    scratch = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch
