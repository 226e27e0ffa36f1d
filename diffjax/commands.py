"""What the commands share: a run's config, samples in batches, and errors a person can read."""

import ast
import importlib.util
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from diffjax import configs, systems
from diffjax.data import to_uint8
from diffjax.training import checkpoints
from diffjax.training import workdir as run_folder
from diffjax.training.system import System


class Samples(NamedTuple):
    """What `sample_in_batches` returns.

    Attributes:
      x: uint8 images [N, H, W, C], or float32 points [N, D].
      seconds: the time they took, compilation left out.
    """

    x: np.ndarray
    seconds: float


def define_run_flags() -> None:
    """Define the flags of the commands on runs: `--config` and `--workdir`."""
    define_config_flag()
    flags.DEFINE_string("workdir", None, "Folder of the run.")


def define_config_flag() -> None:
    """Define `--config`, with overrides of its keys."""
    config_flags.DEFINE_config_file("config", None, "File with get_config(), optionally file.py:argument.")


def run(main: Callable[[list[str]], None]) -> None:
    """Run a command: parse flags, call `main`, and end with status 2 on a user's mistake.

    A ValueError or OSError, a missing package, a flag that cannot be parsed, or a key that a config lacks,
    becomes one line on stderr; `--verbosity=1` shows the traceback too. Ctrl-C ends it with status 130.

    Args:
      main: takes the arguments that are no flags; the program's name is the first and only one.
    """

    def checked(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # orbax and tfds tell of every file
            # What orbax cannot write it logs with tracebacks, from threads; it raises it, too.
            logging.get_absl_logger().addFilter(lambda record: "/orbax/" not in record.pathname)
        if len(argv) > 1:
            raise ValueError(f"unexpected arguments {' '.join(argv[1:])!r}: options look like --name=value")
        return main(argv)

    try:
        app.run(checked, flags_parser=_parse)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, ImportError, KeyError, AttributeError) as error:
        if isinstance(error, KeyError | AttributeError):
            if "ml_collections" not in traceback.extract_tb(error.__traceback__)[-1].filename:
                raise  # a bug
            error = _no_field(error)
        logging.debug("traceback", exc_info=True)
        print(f"{Path(sys.argv[0]).name}: error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)


def load_config(workdir: str | Path, config: ConfigDict | None = None) -> ConfigDict:
    """Read the config that a run was started with.

    Args:
      workdir: the run's folder.
      config: to use in its place, e.g. with another sampler; None for the run's own.

    Returns:
      The ConfigDict; JSON's lists are tuples again.

    Raises:
      ValueError: if there is no such folder, no readable `config.json` in it, or `config` has another
        system, data set, schedule or model.
    """
    if not Path(workdir).is_dir():
        raise ValueError(f"no such workdir: {workdir}")
    if not (Path(workdir) / "config.json").is_file():
        raise ValueError(f"workdir {workdir} has no config.json: it is not a run's folder")
    own = ConfigDict(_tuples(run_folder.read_config(workdir)))
    if config is None:
        return own
    for section in ("system", "data", "schedule", "model"):
        given, there = (json.dumps(each.to_dict().get(section), sort_keys=True) for each in (config, own))
        if given != there:
            raise ValueError(f"config.{section} is {given}, but the run in {workdir} has {there}")
    return config


def load_params(
    workdir: str | Path, config: ConfigDict, ema: bool = True, step: int | None = None
) -> tuple[Any, int]:
    """Read a run's parameters and check them against the network that the config describes.

    Args:
      workdir: the run's folder.
      config: of the run.
      ema: the moving average, or the parameters as trained.
      step: of the checkpoint; None for the latest.

    Returns:
      The parameters, and of which step they are.

    Raises:
      ValueError: as `checkpoints.restore_params`, or if names or shapes differ; it names the first.
    """
    params, step = checkpoints.restore_params_and_step(workdir, ema=ema, step=step)
    expected = jax.eval_shape(systems.build(config).init, jax.random.key(0))[0]
    found, wanted = (
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (params, expected)
    )
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"checkpoint of another model in {workdir}: {name} has shape {found.get(name, 'none')} "
                f"there and {wanted.get(name, 'none')} in config.model"
            )
    return params, step


def sample_in_batches(
    system: System,
    params: Any,
    *,
    key: jax.Array,
    num: int,
    batch_size: int,
    labels: np.ndarray | None = None,
    frozen: Any = (),
    progress: str | None = "samples",
) -> Samples:
    """Sample any number of examples, as many at a time as fit.

    Sample i is drawn with `fold_in(key, i)`: it is the same for any batch size and any number of samples.
    The last batch is filled up to the size of the others, so there is one compilation.

    Args:
      system: what samples.
      params: its parameters.
      key: one key.
      num: number N of samples.
      batch_size: samples at a time.
      labels: int [N] conditions, or None.
      frozen: of the system, `init(key)[2]`.
      progress: title of the progress bar, or None for no bar.

    Returns:
      Samples.

    Raises:
      ValueError: if a count is below 1, there is not one label a sample, or a sample is not finite.
    """
    for name, count in (("num", num), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if labels is not None and np.shape(labels) != (num,):
        raise ValueError(f"labels must be [{num}], one a sample, got shape {list(np.shape(labels))}")
    size = min(batch_size, num)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num))
    draw = jax.jit(lambda params, frozen, keys, cond: system.sample(params, (), frozen, keys, cond, size))

    def arguments(start):
        rows = np.minimum(np.arange(start, start + size), num - 1)
        cond = None if labels is None else jnp.asarray(np.asarray(labels, np.int32)[rows])
        return params, frozen, keys[rows], cond

    draw = draw.lower(*arguments(0)).compile()
    parts, begin = [], time.perf_counter()
    with tqdm(total=num, desc=progress, unit="sample", disable=progress is None) as bar:
        for start in range(0, num, size):
            x = np.asarray(draw(*arguments(start)))[: num - start]
            if not np.isfinite(x).all():
                raise ValueError(f"{np.sum(~np.isfinite(x))} of {x.size} sampled values are not finite")
            parts.append(to_uint8(x) if x.ndim == 4 else x.astype(np.float32))
            bar.update(len(x))
    return Samples(np.concatenate(parts), time.perf_counter() - begin)


def config_module(file: str | Path) -> ModuleType:
    """Load a config file, which `configs.locate` finds.

    Raises:
      ValueError: if it does not exist.
    """
    file = configs.locate(str(file))
    if not Path(file).is_file():
        raise ValueError(
            f"config must be a Python file with get_config(), got {str(file)!r}, which does not exist"
        )
    spec = importlib.util.spec_from_file_location("config_file", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_overrides(argv):
    """Raise for an override of a key that the config lacks, naming the nearest ones."""
    words = [word.removeprefix("-") for word in argv if word.startswith("-")]
    overrides = [word[len("-config.") :].partition("=") for word in words if word.startswith("-config.")]
    paths = [word.partition("=")[2] for word in words if word.startswith("-config=")]
    paths += [after for word, after in itertools.pairwise(argv) if word in ("--config", "-config")]
    if not paths:
        return
    file, _, argument = paths[-1].partition(":")
    module = config_module(file)
    keys = dict(_dotted(module.get_config(argument) if argument else module.get_config()))
    for override, equals, text in overrides:
        if override not in keys:
            raise ValueError(f"config has no key {override!r}{systems.nearest(override, keys)}")
        if equals and isinstance(keys[override], ConfigDict) and not _is_dict(text):
            raise ValueError(f"config.{override} must be a dict, e.g. \"{{'name': {text!r}}}\"; got {text!r}")


def _dotted(config, prefix=""):
    for key, value in config.items():
        yield f"{prefix}{key}", value
        if isinstance(value, ConfigDict):
            yield from _dotted(value, f"{prefix}{key}.")


def _is_dict(text):
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError):
        return False


def _located(argv):
    """Return the arguments with the path of the config file, telling of one that is not where it was said."""
    argv = list(argv)
    for i, word in enumerate(argv):
        flag, equals, config = word.partition("=")
        if flag in ("--config", "-config") and (equals or i + 1 < len(argv)):
            given = config if equals else argv[i + 1]
            found = configs.locate(given)
            if found != given:
                print(f"{given} is not here: taking the one that ships, {found}", file=sys.stderr)
            argv[i if equals else i + 1] = f"{flag}={found}" if equals else found
    return argv


def _parse(argv):
    argv = _located(argv)
    _check_overrides(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise ValueError(error) from error
    except (AttributeError, KeyError) as error:  # what config_flags raises
        raise _no_field(error) from error


def _no_field(error):
    """Return what a KeyError or AttributeError of a ConfigDict says, as a ValueError."""
    field = error.args[0].args[0] if isinstance(error.args[0], Exception) else error.args[0]
    return ValueError(f"config has no field {field}")


def _one_line(error):
    return " ".join(str(error).split())


def _tuples(tree):
    if isinstance(tree, dict):
        return {key: _tuples(value) for key, value in tree.items()}
    return tuple(map(_tuples, tree)) if isinstance(tree, list) else tree
