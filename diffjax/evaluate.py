"""Measure a trained run: `python -m diffjax.evaluate --workdir=runs/...`.

Writes one report, `evaluation.md`, with its figures in `evaluation/` and its numbers in `evaluation.json`,
into the run's folder or that of `--out`. Without an option, the run's own config decides. Images are judged
by a classifier trained on the real training images, or by the extractor that `--features` or
`config.evaluation.features` names. A pipeline has no run: `--config=... --out=...` is enough.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from diffjax import checks, commands, systems
from diffjax.commands import arms as arms_of
from diffjax.commands import evaluation_settings, output, processes, references, values
from diffjax.evaluation import batches, figures, pictures, report
from diffjax.evaluation.evaluator import Bench, Task
from diffjax.evaluation.evaluators import DEFAULTS, EVALUATORS, OF_DATA
from diffjax.rows import spread
from diffjax.systems import weaker
from diffjax.systems.options import is_section
from diffjax.systems.students import TEACHER
from diffjax.training import workdir as run_folder
from diffjax.training.system import label_of

_SHOWN = 100  # images of an arm without classes
_KEPT = ".passes"  # what is done of the samples until the report is written


def evaluate(
    workdir: str | Path | None = None,
    *,
    config: ConfigDict | None = None,
    out: str | Path | None = None,
    checkpoint: int | str | None = None,
    num: int | None = None,
    steps: int | None = None,
    guidance_weights: Sequence[float] | None = None,
    arms: Any = None,
    evaluators: Sequence[str] | None = None,
    bound_images: int | None = None,
    sweep_steps: Sequence[int] | None = None,
    features: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Sample from the moving average of a run and measure the samples beside real data.

    What is not given is `config.evaluation`'s, whose `reference` says against how many training images
    distances are measured (default 10,000), `bound_variance` with which variance the bound is taken (default:
    the learned one, or "fixed_small"), and `dequantisation` how images are for the probability-flow ODE:
    "uniform" (default), or "variational", by a network fitted to the training images. `judge`, {"workdir":
    ...} of a run of system "clip" or {"pretrained": folder} of a published CLIP, tells the captions of
    pictures made of `captions` (default 200) different ones, held-out and of training, which the data have as
    `caption_array`.

    Args:
      workdir: the run's folder, or None for the pipeline of a config.
      config: to use in place of the run's own, see `commands.load_config`.
      out: folder of the report; default: the run's.
      checkpoint: its step, or "best"; None for the latest.
      num: samples of each arm; they are asked for what training rows have, in their proportions.
      steps: of the sampler.
      guidance_weights: w of classifier-free guidance, each measured on its own.
      arms: further ways to sample, {title: {dotted key of the config: value}}.
      evaluators: what is measured, names of `evaluation.evaluators`; default: by what the system gives.
      bound_images: held-out images whose bits/dim are measured; 0 for none. By the system's own bound (that
        of a chain: T network calls an image), or on a continuous schedule by the probability-flow ODE.
      sweep_steps: numbers of steps to compare, with the first guidance weight; empty for none. A run with a
        `config.teacher` is compared with it: in as many steps, in twice the most, and as it walks by itself.
      features: in what distances are measured: "classifier", trained anew, or "<name>:<path>" of a file of
        weights: "classifier" (of `python -m diffjax.classifier`), "inception", "lpips_alexnet" or
        "lpips_vgg16" (for `diffjax.pretrained.load`).
      batch_size: samples at a time; changes memory and speed only.
      seed: of samples, classifier, noise and subsets.
      progress: show progress bars.

    Returns:
      What `evaluation.json` holds: the settings; under "samples" the metrics of the samples, one dict an arm;
      under "real" the same of real examples that were not trained on; "left_out", what could not be told; and
      "sweep", one of "bound", "continuous_bound" and "likelihood", and "measures" where they were asked for.

    Raises:
      ValueError: if the folder is not a run with a checkpoint, or an option does not fit the run.
    """
    checks.seed(seed)
    workdir, config = _run(workdir, config, out)
    given = {
        "num_samples": num, "guidance_weights": guidance_weights, "arms": arms, "evaluators": evaluators,
        "bound_images": bound_images, "sweep_steps": sweep_steps, "features": features,
        "batch_size": batch_size,
    }  # fmt: skip
    settings = evaluation_settings.read(config, given)
    folder = output.writable(str(workdir if out is None else out))
    arms, sweep = arms_of.of(config, settings, steps, workdir)  # refuse before the work begins
    if arms[0].system.gives is not None and "num_samples" not in settings:
        raise ValueError("num must be given: the run's config has no evaluation.num_samples")
    extractor, judge = references.extractor(settings["features"]), references.judge(settings.get("judge"))
    system, variables, step = commands.load(
        config if workdir is None else workdir, step=checkpoint, config=None if workdir is None else config
    )
    train, held_out = (
        system.prepare(workdir, systems.load_data(config, split))[1]  # as training saw them, with tokens, say
        for split in _SPLITS
    )
    task = Task(system, variables, settings, train, held_out, seed, progress, judge, extractor)
    names = settings.get("evaluators", DEFAULTS[system.gives])
    of_data = [work for name in names if name in OF_DATA for work in [OF_DATA[name].prepare(task)] if work]
    bench, request = _bench(task, config, names, sweep, extractor)

    result = {
        "step": step,
        "seed": seed,
        "sampler": _sampler(arms[0].config),
        "device": jax.devices()[0].device_kind,
    }
    shown = {}
    if bench is None:
        result |= {"conventions": None, "real": {}, "samples": [], "left_out": []}
    else:
        drawer = _Drawer(task, workdir, folder, request)
        result |= _samples(bench, drawer, arms, sweep, shown)
    for work in of_data:
        result |= work()
    drawn = {key: found for key, found in result.items() if key.startswith("_")}
    result = _plain({key: found for key, found in result.items() if key not in drawn})
    name = folder.absolute().name if workdir is None else workdir.absolute().name
    if jax.process_index() == 0:
        _write(folder, name, result, drawn, system.gives, shown, train)
        commands.forget(folder / _KEPT)
    return result


_SPLITS = ("train", "test")


def _run(workdir, config, out):
    """Return the folder of a run, or None, and the config."""
    if workdir is not None:
        workdir = run_folder.local(workdir)
        return workdir, commands.load_config(workdir, config)
    if config is None or out is None:
        raise ValueError(
            "give --workdir=runs/<name>, the folder of a trained run, or --config=... --out=... of a pipeline"
        )
    return None, config


def _samples(bench, drawer, arms, sweep, shown):
    """Return what is found of real examples and of every arm's samples; what is drawn goes into `shown`."""
    held_out, most = bench.reference.held_out, drawer.task.settings["reference"]
    chosen = held_out.first(most)
    asked = {} if chosen.label is None else {"label": chosen.label}
    real, left_out = bench.measure(np.asarray(chosen.x), asked, report.HELD_OUT)
    samples, left_out = [], list(left_out)
    for arm in arms:
        x, speed = drawer.draw(arm)
        measured, some = bench.measure(x, drawer.asked(arm), arm.title)
        shown[arm.file] = _shown(arm.system, x, drawer.asked(arm))
        samples.append({**arm.about, **measured, **speed, "picture": f"evaluation/{arm.file}"})
        left_out += some
    found = {
        "conventions": references.conventions(bench.reference, bench.evaluators),
        "real": real,
        "samples": samples,
        "left_out": list(dict.fromkeys(left_out)),
    }
    if sweep:
        found["sweep"] = [_in_sweep(arm, arms[0], samples[0], drawer, bench) for arm in sweep]
    return found


def _bench(task, config, names, sweep, extractor):
    """Return the Bench and the request of the samples; two Nones where nothing is to be sampled."""
    system, settings = task.system, task.settings
    if "evaluators" in settings and not (sweep or settings["arms"] or any(map(EVALUATORS.get, names))):
        return None, None
    if system.gives is None:
        for name in names:
            if name in EVALUATORS:
                raise ValueError(f"evaluation.evaluators: {name!r} is of samples, and this system gives none")
        if sweep:
            raise ValueError("sweep_steps compares samples, and this system gives none")
        return None, None
    request = _request(task)
    chosen = [EVALUATORS[name] for name in names if name in EVALUATORS]
    conditional = label_of(request) is not None
    reference = references.make(task, config, chosen, extractor, conditional)
    asked = "evaluators" in settings
    for each in chosen:
        lacking = reference.lacks(each.needs)
        if asked and lacking:
            raise ValueError(f"evaluation.evaluators: {each.name!r} needs {lacking}")
    chosen = [each for each in chosen if reference.lacks(each.needs) is None]
    if sweep and figures.distance_of([each.name for each in chosen]) is None:
        raise ValueError("sweep_steps compares distances: it needs points, or images and labels or features")
    return Bench(chosen, reference), request


def _request(task):
    """Return what the samples are asked: rows of the training set, in its proportions."""
    system, train, num = task.system, task.train, task.settings["num_samples"]
    if not system.request.parts:
        return system.request.default(num)
    rows = np.arange(len(train)) if train.label is None else np.argsort(train.label, kind="stable")
    source, key = train.take(rows[spread(num, len(train))]), jax.random.key(task.seed)
    try:
        jax.eval_shape(system.request.of_batch, task.variables, key, source.gather(np.zeros(1, int)))
    except KeyError as error:
        raise ValueError(
            f"a model that is asked for a {error.args[0]} needs it to be measured, but {train.name} has none"
        ) from error
    size = task.settings["batch_size"]
    return batches.per_example(system.request.of_batch, task.variables, source, key=key, batch_size=size)


class _Drawer:
    """Samples of arms, all asked for the same rows."""

    def __init__(self, task, workdir, folder, request):
        self.task, self.workdir, self.folder, self.request = task, workdir, folder, request

    def asked(self, arm):
        """Return what an arm is asked: of the rows what it knows, and by its own config what no row has."""
        parts = arm.system.request.parts
        chosen = [part for part, each in parts.items() if not each.of_rows]
        if not chosen and TEACHER not in arm.about:
            return self.request
        own = arm.system.request.default(self.task.settings["num_samples"])
        known = {part: each for part, each in self.request.items() if part in own}
        return {**own, **known, **{part: own[part] for part in chosen}}

    def draw(self, arm):
        """Return samples and their speed."""
        settings, variables = self.task.settings, self.task.variables
        request, identity = self.asked(arm), arm.config.to_json()
        if self.workdir is None:  # a pipeline's stages may be other ones
            variables = commands.load(arm.config).variables
        if TEACHER in arm.about:
            variables, identity = variables.frozen[TEACHER], f"{arm.title}: {identity}"
        elif weaker.NAME in arm.system.stages:  # which may guide this arm alone
            variables = variables._replace(frozen=arm.system.prepare(self.workdir)[0])
        made = commands.sample_in_batches(
            arm.system, variables, key=jax.random.key(self.task.seed), num=settings["num_samples"],
            batch_size=settings["batch_size"], request=request, keep=self.folder / _KEPT, identity=identity,
            progress=f"samples, {arm.title}" if self.task.progress else None,
        )  # fmt: skip
        speed = {
            "samples_per_second": len(made.x) / made.seconds,
            "network_calls": arm.calls,
            "calls_per_second": len(made.x) * arm.calls / made.seconds,
        }
        return made.x, speed


def _in_sweep(arm, first, samples, drawer, bench):
    if "steps" in arm.about and arm.about["steps"] == first.config.sampler.get(
        "steps"
    ):  # these samples are there
        return {**arm.about, **samples}
    x, speed = drawer.draw(arm)
    return {**arm.about, **bench.measure(x, drawer.asked(arm), arm.title, brief=True).metrics, **speed}


def _shown(system, x, request):
    """Return the part of samples that the report shows, and what was asked of each: words and pictures."""
    said, conditions = system.request.describe(request), system.request.pictures(request)
    if system.gives != "images":
        return x, None, ()
    if said is None:
        chosen = spread(min(_SHOWN, len(x)), len(x))
    else:
        chosen = pictures.shown(len(x), said, x.shape[1])
        said = [said[i] for i in chosen]
    return x[chosen], said, [each[chosen] for each in conditions]


def _sampler(config):
    sampler = config.sampler.to_dict() if config.get("sampler") is not None else {}
    weight = sampler.get("guidance_weight")  # a number stands with each arm
    return {key: value for key, value in sampler.items() if key != "guidance_weight" or is_section(weight)}


def _plain(tree: Any) -> Any:
    """Return JSON data, which has no NaN: null stands for what is not finite."""
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _write(folder, name, result, drawn, gives, shown, train):
    """Write the report, its figures and its numbers, all of them or none."""
    with output.together(folder, "evaluation", "evaluation.json", "evaluation.md") as scratch:
        for file, (x, said, conditions) in shown.items():
            reference = train.x[: len(x)] if gives == "points" else None
            path = pictures.of_samples(scratch / "evaluation" / file, gives, x, said, reference, conditions)
            for each in result["samples"]:
                if path is None and each["picture"] == f"evaluation/{file}":
                    each["picture"] = None
        if "sweep" in result:
            figures.quality(scratch / "evaluation" / "sweep.png", result["sweep"], result["real"])
        for each in OF_DATA.values():
            each.draw(scratch / "evaluation", {**result, **drawn})
        run_folder.write(scratch / "evaluation.json", json.dumps(result, indent=2, allow_nan=False) + "\n")
        run_folder.write(scratch / "evaluation.md", "\n\n".join(report.pages(name, result)) + "\n")


def _flags():
    commands.define_run_flags()
    processes.define_flags()
    return {
        "out": flags.DEFINE_string("out", None, "Folder of the report; default: the run's."),
        "checkpoint": flags.DEFINE_string(
            "checkpoint", None, "Step of the checkpoint, or 'best'; default: the latest."
        ),
        "num": flags.DEFINE_integer("num", None, "Samples of each arm."),
        "steps": flags.DEFINE_integer("steps", None, "Steps of the sampler.", lower_bound=1),
        "guidance_weights": flags.DEFINE_list(
            "guidance_weights", None, "w of guidance, e.g. 0,0.5; 0 is none."
        ),
        "arms": flags.DEFINE_multi_string(
            "arm", None, "A further way to sample, 'title: key=value; key=value' (repeatable)."
        ),
        "evaluators": flags.DEFINE_list("evaluators", None, "What is measured, e.g. frechet,prdc,bits."),
        "bound_images": flags.DEFINE_integer(
            "bound_images", None, "Held-out images whose bits/dim are measured; 0 for none.", lower_bound=0
        ),
        "sweep_steps": flags.DEFINE_list("sweep_steps", None, "Numbers of steps to compare, e.g. 5,10,50."),
        "features": flags.DEFINE_string(
            "features", None, "Of the distances: classifier, or <name>:<path>, e.g. inception:weights.pth."
        ),
        "batch_size": flags.DEFINE_integer("batch_size", None, "Samples at a time.", lower_bound=1),
        "seed": flags.DEFINE_integer(
            "seed", 0, "Of samples, classifier and subsets.", lower_bound=0, upper_bound=2**32 - 1
        ),
    }


def cli() -> None:
    """Entry point of `diffjax-evaluate`."""
    defined = _flags()  # here, so that other commands can be imported beside this one

    def main(argv):
        del argv
        options = {name: flag.value for name, flag in defined.items()}
        options |= {"workdir": flags.FLAGS.workdir, "config": flags.FLAGS.config}
        options["checkpoint"] = values.checkpoint(options["checkpoint"])
        for name, kind in (("guidance_weights", float), ("sweep_steps", int)):
            if options[name] is not None:
                options[name] = [_number(name, text, kind) for text in options[name]]
        if options["arms"] is not None:
            options["arms"] = [values.arm(text) for text in options["arms"]]
        commands.use_every_core()
        processes.join(flags.FLAGS)
        processes.require_same_command(flags.FLAGS)
        evaluate(**options)
        if jax.process_index():
            return
        folder = run_folder.local(options["out"] or options["workdir"])
        print((folder / "evaluation.md").read_text(encoding="utf-8"))
        print(f"also in {folder / 'evaluation.md'} and {folder / 'evaluation.json'}")

    commands.run(main)


def _number(name, text, kind):
    try:
        return kind(text)
    except ValueError:
        example = "0,0.5" if kind is float else "5,10,50"
        raise ValueError(f"{name} must be numbers such as {example}; got {text!r}") from None


if __name__ == "__main__":
    cli()
