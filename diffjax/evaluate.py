"""Measure a trained run: `python -m diffjax.evaluate --workdir=runs/...`.

Writes `evaluation.json`, `evaluation.md` and pictures in `evaluation/`. Without an option, the run's own
config decides. Images are judged by a classifier trained on the real training images, in seconds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from diffjax import commands, systems
from diffjax.data import Source
from diffjax.evaluation import classifier, pictures, report
from diffjax.systems import assemble
from diffjax.training import checkpoints
from diffjax.training import workdir as run_folder

_HELD_OUT = "held-out real"
_FEWEST = 10


def evaluate(
    workdir: str | Path,
    *,
    config: ConfigDict | None = None,
    num: int | None = None,
    steps: int | None = None,
    guidance_weights: Sequence[float] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Sample from the moving average of a run and measure the samples beside real data.

    Args:
      workdir: the run's folder.
      config: to use in place of the run's own, see `commands.load_config`.
      num: samples for each guidance weight; classes are as frequent as in the training set.
      steps: of the sampler.
      guidance_weights: w of classifier-free guidance, each measured on its own.
      batch_size: samples at a time.
      seed: of samples, classifier and subsets.
      progress: show progress bars.

    Returns:
      What `evaluation.json` holds: the settings; under "samples" the metrics of the samples, one dict a
      guidance weight; under "real" the same of real examples that were not trained on.

    Raises:
      ValueError: if the folder is not a run with a checkpoint, or an option does not fit the run.
    """
    workdir, config = Path(workdir), commands.load_config(workdir, config)
    params, step = commands.load_params(workdir, config), checkpoints.latest_step(workdir)
    num = _setting(config, "num_samples", "num", num)
    if num < _FEWEST:
        raise ValueError(f"num must be at least {_FEWEST} for the metrics to exist, got {num}")
    batch_size = batch_size or config.get("evaluation", {}).get("batch_size") or 256
    weights = guidance_weights or config.get("evaluation", {}).get("guidance_weights") or (0.0,)
    built = [(weight, *_build(config, steps, weight)) for weight in weights]  # refuse before the work begins

    train = systems.load_data(config, "train")
    labels = _labels(config, train, num)
    measure, real = (_image_metrics if train.x.ndim == 4 else _point_metrics)(config, train, num, seed)
    samples = []
    for weight, system, calls in built:
        x, seconds = commands.sample_in_batches(
            system, params, key=jax.random.key(seed), num=num, batch_size=batch_size, labels=labels,
            progress=f"samples, w = {weight:g}" if progress else None,
        )  # fmt: skip
        speed = {"samples_per_second": num / seconds, "network_calls": calls}
        samples.append({"guidance_weight": weight, **measure(x, labels), **speed})
        _picture(workdir / _picture_of(samples[-1]), x, labels, train)
    result = {
        "step": step,
        "seed": seed,
        "sampler": config.sampler.to_dict() | ({} if steps is None else {"steps": steps}),
        "device": jax.devices()[0].device_kind,
        "real": real,
        "samples": samples,
    }
    result["sampler"].pop("guidance_weight", None)
    _write(workdir, result)
    return result


def _build(config, steps, weight):
    """Return the system with another sampler, and its network calls a sample."""
    config = ConfigDict(config.to_dict())
    config.sampler.guidance_weight = weight
    if steps is not None:
        config.sampler.steps = steps
    solver, times, _, _ = assemble.sampler(config, assemble.schedule(config))
    saved = solver.nfe - 1 if solver.last is not None and times[-1] == 0 else 0
    calls = solver.nfe * (len(times) - 1) - saved
    return systems.build(config), calls * (2 if weight else 1)


def _labels(config, train, num):
    """Return int32 [num] labels in the training set's proportions, or None for an unconditional model."""
    if not config.model.get("num_classes"):
        return None
    if train.label is None:
        raise ValueError(f"a class-conditional model needs labels to be measured, but {train.name} has none")
    return np.sort(train.label)[np.arange(num) * len(train) // num]


def _image_metrics(config, train, num, seed):
    """Return (images, asked) -> metrics, and the metrics of the held-out images."""
    del num
    held_out = systems.load_data(config, "test")
    if train.label is None:
        measure = lambda x, asked: {"count": len(x), **report.measure_copies(x, train, held_out)}
        return measure, measure(held_out.x, None)
    conditional = bool(config.model.get("num_classes"))
    judge = report.judge(
        classifier.fit(train, seed=seed), train, held_out, np.random.default_rng(seed), conditional
    )
    measure = lambda x, asked: report.measure_images(x, asked, judge, np.random.default_rng(seed))
    return measure, measure(held_out.x, held_out.label)


def _point_metrics(config, train, num, seed):
    """Return (points, asked) -> metrics against fresh points, and the metrics of as many other fresh ones."""
    del train
    config = ConfigDict(config.to_dict())
    config.data.num_examples = 2 * num
    fresh = systems.load_data(config, "test")
    label = None if fresh.label is None else fresh.label[:num]
    real = Source(fresh.x[:num], label, fresh.num_classes, fresh.name)
    measure = lambda x, asked: report.measure_points(x, asked, real, np.random.default_rng(seed))
    return measure, measure(fresh.x[num:], None if label is None else fresh.label[num:])


def _picture(path, x, labels, train):
    if x.ndim == 2:
        pictures.scatter(path, x, train.x[: len(x)])
    elif labels is None:
        pictures.grid(path, x[:100])
    else:
        first = np.concatenate([np.flatnonzero(labels == each)[:10] for each in np.unique(labels)])
        pictures.grid(path, x[first], labels[first])


def _write(workdir, result):
    run_folder.write(workdir / "evaluation.json", json.dumps(result, indent=2) + "\n")
    columns = {_HELD_OUT: result["real"]} | {_title(each): each for each in result["samples"]}
    sampler = ", ".join(f"{key} {value}" for key, value in result["sampler"].items())
    pages = [
        f"# Evaluation of {workdir.absolute().name}",
        f"The moving average after {result['step']:,} steps. Sampler: {sampler}. Device: {result['device']}.",
        report.table(columns).rstrip(),
        *(f"![{_title(each)}]({_picture_of(each)})" for each in result["samples"]),
    ]
    run_folder.write(workdir / "evaluation.md", "\n\n".join(pages) + "\n")


def _title(measured):
    weight = measured["guidance_weight"]
    return f"guidance weight {weight:g}" if weight else "unguided"


def _picture_of(measured):
    return f"evaluation/samples_w{measured['guidance_weight']:g}.png"


def _setting(config, field, flag, value):
    value = config.get("evaluation", {}).get(field) if value is None else value
    if value is None:
        raise ValueError(f"{flag} must be given: the run's config has no evaluation.{field}")
    return value


def _flags():
    commands.define_run_flags()
    return {
        "num": flags.DEFINE_integer("num", None, "Samples for each guidance weight."),
        "steps": flags.DEFINE_integer("steps", None, "Steps of the sampler.", lower_bound=1),
        "guidance_weights": flags.DEFINE_list(
            "guidance_weights", None, "w of guidance, e.g. 0,0.5; 0 is none."
        ),
        "batch_size": flags.DEFINE_integer("batch_size", None, "Samples at a time.", lower_bound=1),
        "seed": flags.DEFINE_integer("seed", 0, "Of samples, classifier and subsets.", lower_bound=0),
    }


def cli():
    """Entry point of `diffjax-evaluate`."""
    defined = _flags()  # here, so that other commands can be imported beside this one

    def main(argv):
        del argv
        options = {name: flag.value for name, flag in defined.items()}
        options |= {"workdir": flags.FLAGS.workdir, "config": flags.FLAGS.config}
        if options["workdir"] is None:
            raise ValueError("give --workdir=runs/<name>, the folder of a trained run")
        if options["guidance_weights"] is not None:
            options["guidance_weights"] = [_weight(text) for text in options["guidance_weights"]]
        evaluate(**options)
        folder = Path(options["workdir"])
        print((folder / "evaluation.md").read_text())
        print(f"also in {folder / 'evaluation.md'} and {folder / 'evaluation.json'}")

    commands.run(main)


def _weight(text):
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"guidance_weights must be numbers such as 0,0.5; got {text!r}") from None


if __name__ == "__main__":
    cli()
