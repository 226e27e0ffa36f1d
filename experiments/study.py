"""What the studies share: arms that are done once, seeds that are paired, reports that a program writes.

A study is a module `experiments/<study>/run.py` with a docstring and

    ARMS        name -> config, or None for an arm that trains nothing
    measure     (name, config, variables, seed) -> {metric: finite number}
    CLAIMS      published directions
    REMARKS     what is to be said about the numbers once they are there; Markdown
    REMARKS_OF  the digest of the results that the remarks were written for
    CAPTION     what the figure shows and where to look; Markdown
    figure      (path, results) -> None

and, where they are not what is below, `trained`, (config, seed, out) -> variables, and `SEEDS`, the least
number of seeds that a report needs. Its command

    python -m experiments.<study>.run --out=runs/<study>

trains and measures every arm with every seed, or those of `--arms=<name>,<name>`, and prints the table. Each
(arm, seed) is one JSON file, written whole when it is done: the same command again goes on where it was
stopped. Files know the config they are of, not the code that measured them: remove them after changing
`measure`.

`--report=<folder>` writes `results.json`, and from that alone `figure.png` and `README.md`;
`--results=<file>` takes such a file in the place of running anything.
"""

import argparse
import functools
import inspect
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from diffjax import commands, systems
from diffjax.data import Source
from diffjax.systems.options import of_json
from diffjax.training import ema, in_memory, workdir
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training.system import Variables, with_served
from experiments import report
from experiments.report import Claim as Claim

ROOT = Path(__file__).parents[1]
_BATCHES = 2**31  # folded into a run's key for the batches
_CHUNK = 500  # steps in one compiled program
_TRAINED = ("system", "data", "teacher", "schedule", "model", "objective", "sampler", "optimizer")


def config_of(file: str, argument: str | None = None, **overrides: Any) -> ConfigDict:
    """Return the config of a file below `configs/` with some of its fields replaced.

    Args:
      file: e.g. "toys/ddpm.py".
      argument: of `get_config`.
      **overrides: section -> dict of fields, or a whole section under `section_` (trailing underscore).
    """
    module = commands.config_module(ROOT / "configs" / file)
    config = module.get_config(argument) if argument else module.get_config()
    for name, fields in overrides.items():
        if name.endswith("_"):
            config[name[:-1]] = fields
        else:
            with config.unlocked():
                config[name].update(fields)
    return config


def train(
    config: ConfigDict,
    seed: int,
    progress: str | None = None,
    source: Source | None = None,
    *,
    looped: bool = True,
) -> Variables:
    """Train what a config names in memory.

    Batches are drawn from the training set with replacement. Initialisation, batches and noise depend on the
    seed alone, so arms are paired.

    Args:
      config: of a run.
      seed: of everything random.
      progress: title of the progress bar, or None for no bar.
      source: the training set, in the place of the config's.
      looped: compile many steps together; deep networks of convolutions are compiled sooner one by one.

    Returns:
      The variables, with the moving average of what sampling reads.

    Raises:
      ValueError: if a loss is not finite.
    """
    _, one, state, given = _begun(config, seed, source)
    state = in_memory.train(
        one, state, given, config.training.num_steps, chunk=_CHUNK if looped else None, progress=progress
    )
    return with_served(Variables(state.params, state.extra, given[1]), state.ema[ema.TRACK])


def seconds_a_step(config: ConfigDict, seed: int, source: Source | None = None) -> float:
    """Return the processor time of a step of `train`, over some hundred once they are compiled."""
    _, one, state, given = _begun(config, seed, source)
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        state = in_memory.train(one, state, given, _CHUNK, chunk=_CHUNK)
        jax.block_until_ready(state)
        seconds.append(time.process_time() - begin)
    return seconds[1] / _CHUNK


def _begun(config, seed, source=None):
    """Return the system of a config, what makes a step, and the state and the data that it begins with."""
    system, begin, one = _programs(config.to_json())
    own = systems.load_data(config, "train") if source is None else source
    frozen, prepared = system.prepare(None, own)
    given = prepared.gather(np.arange(len(prepared))), frozen, jax.random.key(seed)
    return system, one, begin(given), given


@functools.lru_cache(maxsize=16)
def _programs(plain):
    """Return the system of a config, what begins its training and what makes a step: one for all seeds."""
    config = ConfigDict(of_json(json.loads(plain)))
    system = systems.build(config)
    optimizers = systems.make_optimizer(config, system)
    step = steps.make(system, optimizers, systems.make_ema(config))
    rows = config.training.batch_size * steps.rows_a_step(system)

    def batch(data, i, key):
        key_batch = jax.random.fold_in(jax.random.fold_in(key, _BATCHES), i)
        chosen = jax.random.randint(key_batch, (rows,), 0, len(jax.tree.leaves(data)[0]))
        return jax.tree.map(lambda a: a[chosen], data)

    def one(state, i, given):
        data, frozen, key = given
        state, metrics = step(state, frozen, key, batch(data, i, key))
        return state, {"loss": metrics["loss"]}

    def begin(given):
        data, frozen, key = given
        return states.initial(system, optimizers, key, batch(data, 0, key), frozen)

    return system, jax.jit(begin), one


def run(
    study: ModuleType, out: Path, seeds: Sequence[int], arms: Sequence[str] | None = None
) -> dict[str, Any]:
    """Train and measure arms with every seed, unless their files are there.

    Neighbouring arms of one config share its network.

    Args:
      study: module with `ARMS` and `measure`.
      out: folder of the files `<arm>/<seed>.json`.
      seeds: of everything random.
      arms: names; None for all.

    Returns:
      "seeds"; "minutes" of processor time that all of it took, whenever that was; "results": arm -> one dict
      of metrics a seed.

    Raises:
      ValueError: before anything is trained, if a file is of another config of its arm or cannot be read; or
        if a metric is not finite.
    """
    arms = list(study.ARMS) if arms is None else arms
    plain = {name: _plain(study.ARMS[name]) for name in arms}
    work = [(name, seed, out / name / f"{seed}.json") for seed in seeds for name in arms]
    done = {path: _read(path, name, plain[name]) for name, _, path in work if path.is_file()}
    results, spent = {name: [] for name in arms}, 0.0
    trained = None, None  # the last config and seed, and its variables
    for name, seed, path in tqdm(work, desc="arms", unit="arm"):
        if path not in done:
            begin, asked = time.process_time(), (_identity(plain[name]), seed)
            if plain[name] is not None and trained[0] != asked:
                trained = asked, _trained(study, name, seed, out)
            between = time.process_time()
            variables = None if plain[name] is None else trained[1]
            metrics = study.measure(name, study.ARMS[name], variables, seed)
            _check_finite(name, metrics)
            seconds = {"training": between - begin, "measuring": time.process_time() - between}
            done[path] = {"config": plain[name], "seed": seed, "seconds": seconds, "metrics": metrics}
            path.parent.mkdir(parents=True, exist_ok=True)
            workdir.write(path, json.dumps(done[path], indent=1) + "\n")
        results[name].append(done[path]["metrics"])
        spent += sum(done[path]["seconds"].values())
    return {"seeds": list(seeds), "minutes": spent / 60, "results": results}


def _trained(study, name, seed, out):
    if hasattr(study, "trained"):
        return study.trained(study.ARMS[name], seed, out)
    return train(study.ARMS[name], seed, progress=f"{name}, seed {seed}")


def _plain(config):
    return None if config is None else json.loads(config.to_json())


def _read(path, name, plain):
    """Read the file of an arm and a seed, which must be of this config."""
    try:
        found = json.loads(path.read_text())
        config = found["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: remove it to run it again") from error
    if _identity(config) != _identity(plain):
        raise ValueError(f"{path} is of another config of arm {name!r}: remove it to run it again")
    return found


def _identity(plain):
    """Return the part of a config that training depends on; the rest may change without harm."""
    if plain is None:
        return None
    training = {key: plain["training"][key] for key in ("num_steps", "batch_size", "ema")}
    return {key: plain[key] for key in _TRAINED if key in plain} | {"training": training}


def _check_finite(name, metrics):
    for key, value in metrics.items():
        if not np.isfinite(value):
            raise ValueError(f"metric {key!r} of arm {name!r} must be finite, got {value}")


def named(text: str, arms: Mapping[str, Any]) -> list[str]:
    """Read names of arms with commas between; a name may have commas of its own.

    Raises:
      ValueError: for a name that there is not.
    """
    return list(_named(text, arms))


def _named(text: str, arms: Mapping[str, Any]) -> Iterator[str]:
    while text:
        begins = [arm for arm in arms if text == arm or text.startswith(f"{arm},")]
        if not begins:
            hint = systems.nearest(text.partition(",")[0], arms) or f": {'; '.join(arms)}"
            raise ValueError(f"--arms must be names of this study's arms, got {text!r}{hint}")
        yield (arm := max(begins, key=len))
        text = text[len(arm) :].lstrip(", ")


def main(study: ModuleType) -> None:
    """Run the command of a study; a mistake ends it with status 2 and one line."""
    name = Path(study.__file__).parent.name
    parser = argparse.ArgumentParser(
        prog=f"experiments.{name}.run",
        description=inspect.getdoc(study),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of what is done")
    parser.add_argument("--seeds", type=int, default=least_seeds(study), help="number of seeds")
    parser.add_argument("--arms", help="names of arms, with commas between; default all")
    parser.add_argument("--results", type=Path, help="a results.json to take in the place of running")
    parser.add_argument("--report", type=Path, help="folder of the report; default prints the table")
    try:
        _main(study, parser.parse_args())
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")


def least_seeds(study: ModuleType) -> int:
    """Return how many seeds a report needs, for a spread to mean something."""
    return getattr(study, "SEEDS", 3)


def _main(study, options):
    least = least_seeds(study) if options.report else 1
    if options.results is not None:
        found = json.loads(options.results.read_text())
    else:
        if options.report and options.arms:
            raise ValueError("--report is of all arms: leave out --arms")
        if options.seeds < least:
            raise ValueError(f"--seeds must be at least {least}, got {options.seeds}")
        arms = None if options.arms is None else named(options.arms, study.ARMS)
        found = run(study, options.out, range(options.seeds), arms)
    if options.report is None:
        print(report.table(found["results"]))
    else:
        report.write(study, found, options.report)
        print((options.report / "README.md").read_text())


__all__ = [
    "ROOT",
    "Claim",
    "config_of",
    "least_seeds",
    "main",
    "named",
    "run",
    "seconds_a_step",
    "train",
]
