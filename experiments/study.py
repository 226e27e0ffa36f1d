"""What the studies share: arms that are done once, seeds that are paired, reports that a program writes.

A study is a module with a docstring and

    ARMS      name -> config, or None for an arm that trains nothing
    measure   (name, config, params, seed) -> {metric: finite number}
    CLAIMS    published directions
    REMARKS   what is to be said about the numbers once they are there; Markdown
    figure    (path, results) -> None

Its command

    python -m experiments.<study>.run --out=runs/<study>

trains and measures every arm with every seed. Each (arm, seed) is one JSON file, written whole when it is
done: the same command again goes on where it was stopped. At the end it writes `results.json`, and from that
alone `figure.png` and `README.md`, beside the study's code. Files know the config they are of, not the code
that measured them: remove them after changing `measure`.
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
_TRAINED = ("system", "data", "schedule", "model", "objective", "sampler", "optimizer")
_RULE = (
    "The rule: with the same seed all arms have the same initialisation, batches and noise, so differences "
    "are taken seed by seed. *shows*: their mean is beyond twice their standard deviation over the {} seeds, "
    "in the paper's direction; *opposite*: so, the other way; *shows not*: neither."
)

Results = Mapping[str, Sequence[Mapping[str, float]]]  # arm -> one dict of metrics a seed


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
    """Train what a config names in compiled chunks of steps.

    The whole training set is on the device; batches are drawn from it with replacement. Initialisation,
    batches and noise depend on the seed alone, so arms are paired.

    Args:
      config: ConfigDict of a project's config file.
      seed: of everything random.
      progress: title of the progress bar, or None for no bar.

    Returns:
      The moving average of the parameters.

    Raises:
      ValueError: if the number of steps is no multiple of a chunk, or a loss is not finite.
    """
    system, optimizer = systems.build(config), systems.make_optimizer(config)
    step = steps.make(system, optimizer, systems.make_ema(config))
    source = systems.load_data(config, "train")
    size, total = config.training.batch_size, config.training.num_steps
    chunk = min(total, 500)
    if total % chunk:
        raise ValueError(f"training.num_steps must be a multiple of {chunk}, got {total}")

    @partial(jax.jit, donate_argnums=2)
    def run_chunk(data, key, state):
        def one(state, _):
            key_batch = jax.random.fold_in(jax.random.fold_in(key, _BATCHES), state.step)
            rows = jax.random.randint(key_batch, (size,), 0, len(source))
            state, metrics = step(state, (), key, jax.tree.map(lambda a: a[rows], data))
            return state, metrics["loss"]

        return jax.lax.scan(one, state, length=chunk)

    key = jax.random.key(seed)
    data = jax.tree.map(jnp.asarray, source.gather(np.arange(len(source))))
    state = jax.jit(partial(states.initial, system, optimizer))(key)
    for _ in tqdm(range(total // chunk), desc=progress, disable=progress is None, leave=False):
        state, losses = run_chunk(data, key, state)
        if not np.isfinite(losses).all():
            raise ValueError(f"the loss is not finite before step {int(state.step)}")
    return state.ema


def run(study, out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Train and measure every arm with every seed, unless its file is there.

    Neighbouring arms of one config share its network.

    Args:
      study: module with `ARMS` and `measure`.
      out: folder of the files `<arm>/<seed>.json`.
      seeds: at least 3 for a report.

    Returns:
      "seeds"; "minutes" of processor time that all of it took, whenever that was; "results": arm -> one dict
      of metrics a seed.

    Raises:
      ValueError: if a file is of another config of its arm, or a metric is not finite.
    """
    results, spent = {name: [] for name in study.ARMS}, 0.0
    trained = None, None  # the last config and seed, and its parameters
    work = [(name, seed) for seed in seeds for name in study.ARMS]
    for name, seed in tqdm(work, desc="arms", unit="arm"):
        path, config = out / name / f"{seed}.json", study.ARMS[name]
        plain = None if config is None else json.loads(config.to_json())
        if path.is_file():
            found = json.loads(path.read_text())
            if _identity(found["config"]) != _identity(plain):
                raise ValueError(f"{path} is of another config of arm {name!r}: remove it to run it again")
        else:
            begin = time.process_time()
            if config is not None and trained[0] != (_identity(plain), seed):
                trained = (_identity(plain), seed), train(config, seed, progress=f"{name}, seed {seed}")
            between = time.process_time()
            metrics = study.measure(name, config, trained[1] if config is not None else None, seed)
            _check_finite(name, metrics)
            seconds = {"training": between - begin, "measuring": time.process_time() - between}
            found = {"config": plain, "seed": seed, "seconds": seconds, "metrics": metrics}
            path.parent.mkdir(parents=True, exist_ok=True)
            workdir.write(path, json.dumps(found, indent=1) + "\n")
        results[name].append(found["metrics"])
        spent += sum(found["seconds"].values())
    return {"seeds": list(seeds), "minutes": spent / 60, "results": results}


def judge(claim: Claim, results: Results) -> dict[str, Any]:
    """Compare the two sides of a claim seed by seed.

    Returns:
      "difference" (mean of more - less) and its "sd" over the seeds; "verdict": "shows" if the difference is
      beyond twice that, "opposite" if it is so the other way, else "shows not".
    """
    less, more = (
        np.array([seed[metric] for seed in results[arm]]) for arm, metric in (claim.less, claim.more)
    )
    difference, sd = float(np.mean(more - less)), float(np.std(more - less, ddof=1))
    verdict = "shows not" if abs(difference) <= 2 * sd else "shows" if difference > 0 else "opposite"
    return {"difference": difference, "sd": sd, "verdict": verdict}


def table(results: Results) -> str:
    """Write mean ± standard deviation over seeds, an arm a row and a metric a column, as Markdown."""
    metrics = list(dict.fromkeys(key for rows in results.values() for key in rows[0]))
    lines = [f"| | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    for arm, rows in results.items():
        cells = [_cell([row[key] for row in rows]) if key in rows[0] else "–" for key in metrics]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims_table(claims: Sequence[Claim], results: Results) -> str:
    """Write each claim, the paper's numbers, both sides here, their difference and the verdict."""
    lines = ["| claim | paper | ours | difference ± sd | verdict |", "|---|---|---|---:|---|"]
    for claim in claims:
        found = judge(claim, results)
        less, more = (_cell([row[key] for row in results[arm]]) for arm, key in (claim.less, claim.more))
        sign = "<" if found["difference"] > 0 else ">"
        difference = f"{found['difference']:.3g} ± {found['sd']:.2g}"
        lines.append(
            f"| {claim.text} | {claim.paper} | {less} {sign} {more} | {difference} | {found['verdict']} |"
        )
    return "\n".join(lines)


def report(study, found: Mapping[str, Any], folder: Path) -> None:
    """Write results.json of what `run` returned, and from that file figure.png and README.md."""
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = [{**claim._asdict(), **judge(claim, found["results"])} for claim in study.CLAIMS]
    text = json.dumps({**found, "claims": verdicts}, indent=1, allow_nan=False)
    workdir.write(folder / "results.json", text + "\n")
    found = json.loads((folder / "results.json").read_text())
    results, count = found["results"], len(found["seeds"])
    study.figure(folder / "figure.png", results)
    pages = [
        inspect.getdoc(study),
        "## Claims",
        claims_table(study.CLAIMS, results),
        _RULE.format(count),
        "## Remarks",
        study.REMARKS.strip(),
        "## Results",
        f"Mean ± standard deviation over {count} seeds; about {found['minutes']:.0f} minutes of one core.",
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
    report(study, run(study, options.out, range(options.seeds)), options.report)
    print((options.report / "README.md").read_text())


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


def _cell(values):
    mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{mean:.3g} ± {sd:.2g}"
