"""What the studies share: arms that are done once, seeds that are paired, reports that a program writes.

A study is a module with a docstring, `ARMS` (name -> config, or None where nothing is trained), a function
`measure(name, config, params, seed) -> {metric: number}`, `CLAIMS`, and `figure(path, results)`. Its command

    python -m experiments.<study>.run --out=runs/<study>

trains and measures every arm with every seed. Each (arm, seed) is one JSON file, written whole when it is
done: the same command again goes on where it was stopped. At the end it writes `results.json`, `figure.png`
and `README.md` beside the study's code.
"""

import argparse
import inspect
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from diffjax import commands, systems
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training import workdir

ROOT = Path(__file__).parents[1]
_BATCHES = 2**31  # folded into a run's key for the batches


class Claim(NamedTuple):
    """A direction that a paper published: `less` is smaller than `more`.

    Attributes:
      text: the claim.
      paper: the paper's own numbers.
      less, more: (arm, metric) each.
    """

    text: str
    paper: str
    less: tuple[str, str]
    more: tuple[str, str]


def config_of(file: str, argument: str | None = None, **overrides: Any):
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


def train(config, seed: int, progress: str | None = None) -> Any:
    """Train what a config names in compiled chunks of steps; the moving average of its parameters.

    The whole training set is on the device; batches are drawn from it with replacement. Initialisation and
    batches depend on the seed alone, so arms are paired.
    """
    system, optimizer = systems.build(config), systems.make_optimizer(config)
    step = steps.make(system, optimizer, systems.make_ema(config))
    source = systems.load_data(config, "train")
    data = source.gather(np.arange(len(source)))
    size, total, key = config.training.batch_size, config.training.num_steps, jax.random.key(seed)
    chunk = min(total, 500)
    if total % chunk:
        raise ValueError(f"training.num_steps must be a multiple of {chunk}, got {total}")

    def one(data, state, _):
        key_batch = jax.random.fold_in(jax.random.fold_in(key, _BATCHES), state.step)
        rows = jax.random.randint(key_batch, (size,), 0, len(source))
        state, metrics = step(state, (), key, jax.tree.map(lambda a: a[rows], data))
        return state, metrics["loss"]

    run = jax.jit(lambda data, state: jax.lax.scan(partial(one, data), state, length=chunk), donate_argnums=1)
    data = jax.tree.map(jnp.asarray, data)
    state = jax.jit(partial(states.initial, system, optimizer))(key)
    for _ in tqdm(range(total // chunk), desc=progress, disable=progress is None, leave=False):
        state, losses = run(data, state)
        if not np.isfinite(losses).all():
            raise ValueError(f"the loss is not finite before step {int(state.step)}")
    return state.ema


def run(study, out: Path, seeds: Sequence[int]) -> dict[str, list[dict[str, float]]]:
    """Train and measure every arm with every seed, unless its file is there.

    Args:
      study: module with `ARMS` and `measure`.
      out: folder of the files `<arm>/<seed>.json`.
      seeds: at least 3 for a report.

    Returns:
      arm -> one dict of metrics a seed.

    Raises:
      ValueError: if a file is of another config of its arm.
    """
    results = {name: [] for name in study.ARMS}
    work = [(name, seed) for seed in seeds for name in study.ARMS]
    for name, seed in tqdm(work, desc="arms", unit="arm"):
        path, config = out / name / f"{seed}.json", study.ARMS[name]
        plain = None if config is None else json.loads(config.to_json())
        if path.is_file():
            found = json.loads(path.read_text())
            if found["config"] != plain:
                raise ValueError(f"{path} is of another config of arm {name!r}: remove it to run it again")
        else:
            begin = time.perf_counter()
            params = None if config is None else train(config, seed, progress=f"{name}, seed {seed}")
            trained = time.perf_counter()
            metrics = study.measure(name, config, params, seed)
            seconds = {"training": trained - begin, "measuring": time.perf_counter() - trained}
            found = {"config": plain, "seed": seed, "seconds": seconds, "metrics": metrics}
            path.parent.mkdir(parents=True, exist_ok=True)
            workdir.write(path, json.dumps(found, indent=1) + "\n")
        results[name].append(found["metrics"])
    return results


def judge(claim: Claim, results: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Compare the two sides of a claim seed by seed.

    Returns:
      "difference" (more - less) and "sd" over the seeds, and "verdict": "shows" if the mean difference is
      beyond twice its standard deviation over the seeds, "opposite" if it is so the other way, else "no".
    """
    less, more = (
        np.array([seed[metric] for seed in results[arm]]) for arm, metric in (claim.less, claim.more)
    )
    difference, sd = float(np.mean(more - less)), float(np.std(more - less, ddof=1))
    verdict = "no" if abs(difference) <= 2 * sd else "shows" if difference > 0 else "opposite"
    return {"difference": difference, "sd": sd, "verdict": verdict}


def table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write mean ± standard deviation over seeds, an arm a row and a metric a column, as Markdown."""
    metrics = list(dict.fromkeys(key for rows in results.values() for key in rows[0]))
    lines = [f"| | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    for arm, rows in results.items():
        cells = [_cell([row[key] for row in rows]) if key in rows[0] else "–" for key in metrics]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(study, results, seeds: Sequence[int], folder: Path) -> None:
    """Write results.json, figure.png and README.md of a study into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = [{**claim._asdict(), **judge(claim, results)} for claim in study.CLAIMS]
    found = {"seeds": list(seeds), "results": results, "claims": verdicts}
    workdir.write(folder / "results.json", json.dumps(found, indent=1) + "\n")
    study.figure(folder / "figure.png", results)
    lines = ["| claim | paper | ours: difference ± sd over seeds | verdict |", "|---|---|---:|---|"]
    for row in verdicts:
        ours = f"{row['difference']:.3g} ± {row['sd']:.2g}"
        lines.append(f"| {row['text']} | {row['paper']} | {ours} | {row['verdict']} |")
    pages = [
        inspect.getdoc(study),
        "## Claims",
        "\n".join(lines),
        f"Differences are paired by seed ({len(seeds)} seeds: same initialisation, same batches). *shows*: "
        "the mean difference is beyond twice its standard deviation over the seeds; *opposite*: it is so the "
        "other way; *no*: neither.",
        "## Results",
        f"Mean ± standard deviation over {len(seeds)} seeds.",
        table(results),
        "![figure](figure.png)",
    ]
    workdir.write(folder / "README.md", "# " + "\n\n".join(pages) + "\n")


def main(study) -> None:
    """Run the command of a study."""
    name = Path(study.__file__).parent.name
    parser = argparse.ArgumentParser(prog=f"experiments.{name}.run", description=inspect.getdoc(study))
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of what is done")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, at least 3")
    parser.add_argument(
        "--report", type=Path, default=ROOT / "experiments" / name, help="folder of the report"
    )
    options = parser.parse_args()
    if options.seeds < 3:
        parser.error(f"--seeds must be at least 3 for a spread to mean something, got {options.seeds}")
    seeds = list(range(options.seeds))
    report(study, run(study, options.out, seeds), seeds, options.report)
    print((options.report / "README.md").read_text())


def _cell(values):
    mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{mean:.3g} ± {sd:.2g}"
