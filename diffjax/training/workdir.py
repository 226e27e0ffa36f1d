"""A run's folder that explains itself, and refuses to become another run's."""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from absl import logging

from diffjax.files import SCRATCH, read_json, write
from diffjax.files import naming as naming
from diffjax.training.stopping import agree

_PACKAGES = ("diffjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")

LOCK = ".lock"
PREPARED = "prepared"  # what a system made once, before it was trained: scales, caches

_README = """# {name}

{about}

Started with

    {command}

The same command again goes on from the latest checkpoint; a larger `training.num_steps` makes the run longer.

{commands}From Python, without knowing the architecture:

    from diffjax.training import checkpoints
    params = checkpoints.restore_params({folder!r})  # the moving average; as trained: ema=False

| file | what it is |
|---|---|
| `config.json` | every number of the run |
| `environment.json` | versions, devices, command and commit of the latest start |
| `metrics.jsonl` | one JSON row a logging step: means since the row before |
| `loss.png` | the training loss |
| `samples/step_<n>.png` | samples of the moving average on the way |
| `samples.npz`, `samples.png` | the latest output of the sample command |
| `evaluation.md`, `evaluation.json`, `evaluation/` | the latest output of the evaluate command |
| `cost.json` | a step's operations, and the bytes of the state and of what the step needs |
| `changes.jsonl` | what was changed when the run was resumed, and when it was rolled back, if anything |
| `data.json` | what the training data are, by their content |
| `snapshots/<step>/` | averages of which one of any width can be made, if any |
| `init_from.json` | what was taken from another run at the beginning, and what was not, if anything |
| `prepared/` | what was made once, before training: tokenizers, text models and what they said |
| `stages/<name>/` | copies of the trained systems that this one stands on, if any |
| `checkpoints/<step>/` | the whole state after that many steps; the latest ones and the best are kept |
"""


def local(workdir: str | Path) -> Path:
    """Return the folder of a run as a path of this machine; "~" is the home folder.

    Raises:
      ValueError: for an address such as gs://bucket/run, or what is no path.
    """
    if not isinstance(workdir, str | os.PathLike):
        raise ValueError(f"workdir must be a folder, got {workdir!r}")
    if "://" in str(workdir) or str(workdir).startswith("gs:"):
        raise ValueError(f"workdir must be a folder of this machine, got {str(workdir)!r}: mount the bucket")
    try:
        return Path(workdir).expanduser()
    except RuntimeError as error:  # nobody's home
        raise ValueError(f"workdir {str(workdir)!r} has no home folder to stand for '~': {error}") from None


def prepare(
    workdir: str | Path,
    config: Mapping[str, Any],
    *,
    identity: Sequence[str] = (),
    about: str = "A training run.",
    commands: Mapping[str, str] | None = None,
    growing: tuple[str, ...] = ("training.num_steps",),
) -> Path:
    """Make a run's folder, or check that it belongs to this configuration, before anything is written.

    A folder without a checkpoint, of a run that failed at its start, belongs to any configuration. Call it
    within `lock`. It writes `config.json`, `environment.json` and `README.md`, on process 0 alone; what a
    resumed run has otherwise than before goes to `changes.jsonl`.

    Args:
      workdir: the folder; its parents are made.
      config: nested dict of everything that defines the run, as JSON can hold it.
      identity: sections and dotted keys that what was trained depends on and that must be as they were. The
        others may change; "training.num_steps" may only grow.
      about: what the run is, a sentence or two for the README.
      commands: further shell commands for the README, such as `{"To sample": "python -m ..."}`.
      growing: dotted keys of numbers that may be larger than in the folder's `config.json`.

    Returns:
      The folder's path.

    Raises:
      ValueError: if the folder cannot be written, belongs to another configuration (the keys are named), or
        has checkpoints but no `config.json`; if `config` is not JSON.
    """
    workdir = local(workdir)
    try:
        text = json.dumps(config, indent=2, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"config cannot be written as JSON: {error}") from error
    with first_process(workdir) as first:
        if first:
            changes = _check_config(workdir, json.loads(text), identity, growing)
            _check_writable(workdir)
            _write_all(workdir, text, changes, about, commands or {})
    return workdir


def _write_all(workdir, config, changes, about, commands):
    for left in workdir.rglob(f"*{SCRATCH}"):  # of a process that was killed
        above = left.relative_to(workdir).parts[:-1]
        if not any(folder.startswith(".") for folder in above):  # those are of commands that may run
            left.unlink(missing_ok=True)
    if changes:
        note(workdir, {"changes": {key: list(pair) for key, pair in changes.items()}})
    write(workdir / "config.json", config + "\n")
    write(workdir / "environment.json", json.dumps(environment(), indent=2) + "\n")
    lines = "".join(f"{title}:\n\n    {command}\n\n" for title, command in commands.items())
    filled = {"name": workdir.name, "folder": str(workdir), "about": about, "command": _command()}
    write(workdir / "README.md", _README.format(**filled, commands=lines))


def note(workdir: str | Path, row: Mapping[str, Any]) -> None:
    """Add a row to `changes.jsonl`, with the time; to be called by one process.

    Args:
      workdir: the run's folder.
      row: JSON data.
    """
    path = local(workdir) / "changes.jsonl"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write(path, before + json.dumps({"time": time.time(), **row}) + "\n")


@contextlib.contextmanager
def first_process(workdir: Path) -> Iterator[bool]:
    """Say to the first of several processes that it is the one; what it raises ends them all.

    Raises:
      ValueError, OSError: of the first process.
    """
    error = None
    try:
        yield jax.process_index() == 0
    except (ValueError, OSError) as raised:
        error = raised
    if agree(error is not None):
        raise error or ValueError(f"the first process refuses workdir {workdir}")


def read_config(workdir: str | Path) -> dict[str, Any]:
    """Read `workdir/config.json`.

    Args:
      workdir: the run's folder.

    Returns:
      What `prepare` was given, with JSON's types.

    Raises:
      ValueError: if the file is damaged; it says where.
    """
    return read_json(local(workdir) / "config.json", otherwise=": mend it, or name a new workdir")


@contextlib.contextmanager
def lock(workdir: str | Path) -> Iterator[None]:
    """Keep other processes of this machine from training in the same folder, which is made.

    Where the file system has no locks a warning says so, and nothing is kept.

    Args:
      workdir: the run's folder.

    Raises:
      ValueError: if another process holds it, or it cannot be written.
    """
    workdir = local(workdir)
    with contextlib.ExitStack() as stack:
        with first_process(workdir) as first:
            if first:
                _check_folder(workdir)  # nothing is put into a foreign one
                _check_writable(workdir)
                _lock(stack.enter_context((workdir / LOCK).open("w")), workdir)
        yield


def _lock(file, workdir):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another process trains in workdir {workdir}") from None
    except OSError as error:
        logging.warning(
            "workdir %s has no file locks (%s): let no other process train there", workdir, error.strerror
        )


def environment() -> dict[str, Any]:
    """Describe where the process runs.

    Returns:
      JSON data: Python, platform, package versions, devices, number of hosts, command line and, for a
      checkout, the git commit. No environment variables: they may hold secrets.
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "host_count": jax.process_count(),
        "command": _command(),
        "git_commit": _git_commit(),
    }


def _check_config(workdir: Path, config: Any, identity: Sequence[str], growing: Sequence[str]):
    """Return {key: (old, new)} of what may differ and does; raise for what may not."""
    _check_folder(workdir)
    if not (workdir / "config.json").exists():
        return {}
    old, new = flat(read_config(workdir)), flat(config)
    missing = object()
    pairs = {
        key: (old.get(key, "absent"), new.get(key, "absent"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key, missing) != new.get(key, missing)
    }
    if not has_checkpoint(workdir):
        return {}
    grown = lambda key: key in old and key in new and new[key] > old[key]
    of = lambda key: any(key == own or key.startswith(f"{own}.") for own in identity)
    differing = [key for key in pairs if of(key) or (key in growing and not grown(key))]
    if differing:
        told = "; ".join(f"{key} is {pairs[key][0]!r} there, {pairs[key][1]!r} here" for key in differing)
        raise ValueError(
            f"workdir {workdir} belongs to another config: {told} ({', '.join(growing)} may grow); "
            "set them as they are there, or give another workdir"
        )
    return pairs


def _check_folder(workdir: Path) -> None:
    """Raise for a folder that is neither new nor a run's."""
    if (workdir / "config.json").exists():
        return
    if (workdir / "checkpoints").exists():
        raise ValueError(f"workdir {workdir} has checkpoints but no config.json to compare with")
    if workdir.is_dir() and any(p.suffix != SCRATCH and p.name != LOCK for p in workdir.iterdir()):
        raise ValueError(f"workdir {workdir} is not empty and not a run's folder: name a new one")


def has_checkpoint(workdir: str | Path) -> bool:
    """Say whether a run has a checkpoint, damaged or not."""
    return any(path.name[:1].isdigit() for path in (local(workdir) / "checkpoints").glob("*"))


def _check_writable(workdir: Path) -> None:
    try_writing("workdir", workdir)
    if (workdir / "checkpoints").exists():
        try_writing("workdir", workdir / "checkpoints")


def try_writing(name: str, folder: Path) -> None:
    """Make a folder and write into it.

    Raises:
      ValueError: naming what the folder is and where, if that fails.
    """
    try:
        if not folder.exists():  # a file in its place is told by what follows
            folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{name} {folder} cannot be written: {error.strerror or error}") from error


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return a nested dict, or ConfigDict, as one of dotted keys."""
    if not hasattr(tree, "items") or not tree:
        return {prefix: tree}
    return {
        path: leaf
        for key, branch in tree.items()
        for path, leaf in flat(branch, f"{prefix}.{key}" if prefix else key).items()
    }


def _command() -> str:
    return shlex.join(sys.orig_argv)


def _git_commit() -> str | None:
    here = Path(__file__).parent

    def git(*arguments):
        result = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=False)
        return result.stdout.strip() if result.returncode == 0 else ""

    try:
        if not git("ls-files", __file__):  # merely installed inside somebody's repository
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except OSError:  # no git
        return None
