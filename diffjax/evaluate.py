"""Measure a trained run: `python -m diffjax.evaluate --workdir=runs/...`.

Writes one report, `evaluation.md`, with its figures in `evaluation/` and its numbers in `evaluation.json`.
Without an option, the run's own config decides. Images are judged by a classifier trained on the real
training images, or by the extractor that `--features` or `config.evaluation.features` names.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from diffjax import commands, systems
from diffjax.data import Source
from diffjax.evaluation import bound, classifier, extractors, figures, likelihood, pictures, report
from diffjax.evaluation.dequantiser import DEQUANTISATIONS
from diffjax.process.schedules import Chain
from diffjax.systems import assemble
from diffjax.systems.evaluation_settings import read as read_settings
from diffjax.training import workdir as run_folder

_HELD_OUT = "held-out real"


def evaluate(
    workdir: str | Path,
    *,
    config: ConfigDict | None = None,
    num: int | None = None,
    steps: int | None = None,
    guidance_weights: Sequence[float] | None = None,
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
    "uniform" (default), or "variational", by a network fitted to the training images.

    Args:
      workdir: the run's folder.
      config: to use in place of the run's own, see `commands.load_config`.
      num: samples for each guidance weight; classes are as frequent as in the training set.
      steps: of the sampler.
      guidance_weights: w of classifier-free guidance, each measured on its own.
      bound_images: held-out images whose bits/dim are measured; 0 for none. On a chain by the bound, T
        network calls each; on a continuous schedule by the probability-flow ODE, of a VDM by its bound.
      sweep_steps: numbers of steps to compare, with the first guidance weight; empty for none.
      features: in what distances are measured: "classifier", trained anew, or "<name>:<path>" of a file of
        weights: "classifier" (of `python -m diffjax.classifier`), "inception", "lpips_alexnet" or
        "lpips_vgg16" (for `diffjax.pretrained.load`).
      batch_size: samples at a time.
      seed: of samples, classifier, noise and subsets.
      progress: show progress bars.

    Returns:
      What `evaluation.json` holds: the settings; under "samples" the metrics of the samples, one dict a
      guidance weight; under "real" the same of real examples that were not trained on; and "sweep" and
      one of "bound", "continuous_bound" and "likelihood" where they were asked for.

    Raises:
      ValueError: if the folder is not a run with a checkpoint, or an option does not fit the run.
    """
    workdir, config = Path(workdir), commands.load_config(workdir, config)
    settings = _settings(
        config,
        num_samples=num,
        guidance_weights=guidance_weights,
        bound_images=bound_images,
        sweep_steps=sweep_steps,
        features=features,
        batch_size=batch_size,
    )
    params, step = commands.load_params(workdir, config)
    weights, num = settings["guidance_weights"], settings["num_samples"]
    built = [(weight, *_build(config, steps, weight)) for weight in weights]  # refuse before the work begins
    sweep = [(each, *_build(config, each, weights[0])) for each in settings["sweep_steps"]]
    bounded = _bounded(config, settings)
    extractor = _extractor(settings["features"])

    train = systems.load_data(config, "train")
    labels = _labels(config, train, num)
    make = _image_metrics if train.x.ndim == 4 else _point_metrics
    measure, quality, real, conventions = make(config, settings, train, extractor, seed)
    if sweep and quality is None:
        raise ValueError("sweep_steps compares Fréchet distances: it needs images and labels or features")

    def draw(system, title):
        return commands.sample_in_batches(
            system, params, key=jax.random.key(seed), num=num, batch_size=settings["batch_size"],
            labels=labels, progress=title if progress else None,
        )  # fmt: skip

    samples, own_steps = [], config.sampler.steps if steps is None else steps
    for weight, system, calls in built:
        x, seconds = draw(system, f"samples, w = {weight:g}")
        samples.append({"guidance_weight": weight, **measure(x, labels), **_speed(num, calls, seconds)})
        _picture(workdir / _picture_of(samples[-1]), x, labels, train)
    result = {
        "step": step,
        "seed": seed,
        "sampler": config.sampler.to_dict() | ({} if steps is None else {"steps": steps}),
        "device": jax.devices()[0].device_kind,
        "conventions": conventions,
        "real": real,
        "samples": samples,
    }
    result["sampler"].pop("guidance_weight", None)
    if sweep:
        result["sweep"] = []
        for each, system, calls in sweep:
            if each == own_steps:  # these samples are there
                result["sweep"].append({"steps": each, **samples[0]})
                continue
            x, seconds = draw(system, f"samples, {each} steps")
            result["sweep"].append({"steps": each, **quality(x, labels), **_speed(num, calls, seconds)})
    if bounded:
        result |= _bits(config, settings, params, train, bounded, seed, progress)
    _write(workdir, result)
    return result


def _settings(config, **given):
    """Return `config.evaluation` with the options given, checked."""
    found = read_settings(config, given)
    if "num_samples" not in found:
        raise ValueError("num must be given: the run's config has no evaluation.num_samples")
    return found


def _build(config, steps, weight):
    """Return the system with another sampler, and its network calls a sample."""
    config = ConfigDict(config.to_dict())
    config.sampler.guidance_weight = weight
    if steps is not None:
        config.sampler.steps = steps
    return systems.build(config), assemble.network_calls(config) * (2 if weight else 1)


def _speed(num, calls, seconds):
    return {
        "samples_per_second": num / seconds,
        "network_calls": calls,
        "calls_per_second": num * calls / seconds,
    }


def _bounded(config, settings):
    """Return the held-out images whose bits/dim are asked for, or None."""
    count = settings["bound_images"]
    if not count:
        return None
    if "schedule" not in config:
        raise ValueError(f"bound_images needs a noise schedule, and system {config.system!r} has none")
    chain = config.system != "vdm" and isinstance(assemble.schedule(config), Chain)
    by_the_ode = config.system != "vdm" and not chain
    variance = settings.get("bound_variance")
    if variance and not chain:
        raise ValueError("evaluation.bound_variance is of the bound of a chain, which this schedule is not")
    if variance and variance.startswith("learned") and not _learned(config):
        raise ValueError(
            f"evaluation.bound_variance={variance!r} needs a network trained for it (objective.loss)"
        )
    if settings["dequantisation"] != "uniform" and not by_the_ode:
        raise ValueError("evaluation.dequantisation is of the likelihood of a continuous schedule by its ODE")
    held_out = systems.load_data(config, "test")
    if held_out.x.dtype != np.uint8:
        raise ValueError(f"bound_images needs images of 8 bits, but {held_out.name} is {held_out.x.dtype}")
    if not 2 <= count <= len(held_out):
        raise ValueError(f"bound_images must be in 2..{len(held_out)}, or 0 for none; got {count}")
    chosen = np.arange(count) * len(held_out) // count  # evenly through the set, whatever its order
    label = None if held_out.label is None else held_out.label[chosen]
    return Source(held_out.x[chosen], label, held_out.num_classes, held_out.name)


def _learned(config):
    return config.objective.get("loss", "simple") != "simple"


def _bits(config, settings, params, train, images, seed, progress):
    """Return {what was measured: its result}."""
    label = images.label if config.model.get("num_classes") else None
    denoiser, how = assemble.denoiser(config), {"key": jax.random.key(seed)}
    how |= {"batch_size": settings["batch_size"], "progress": "bits/dim" if progress else None}
    if config.system == "vdm":
        levels, how["num_steps"] = assemble.levels(config), config.objective.get("num_steps")
        found = bound.measure_continuous_bound(denoiser, params, levels, images.x, label, **how)
        return {"continuous_bound": found}
    schedule = assemble.schedule(config)
    if not isinstance(schedule, Chain):
        model, labels = (denoiser, params, schedule), None if label is None else train.label
        fit, options = DEQUANTISATIONS[settings["dequantisation"]], {"key": jax.random.key(seed + 1)}
        law = fit(*model, train.x, labels, **options, progress="dequantiser" if progress else None)
        found = likelihood.measure_likelihood(*model, images.x, label, dequantise=law, **how)
        return {"likelihood": found}
    variance = config.objective.get("variance", "learned_range") if _learned(config) else "fixed_small"
    variance = settings.get("bound_variance", variance)
    found = bound.measure_bound(denoiser, params, schedule, images.x, label, variance=variance, **how)
    return {"bound": found}


_EXTRACTORS = {
    "classifier": classifier.load,
    "inception": extractors.inception,
    "lpips_alexnet": partial(extractors.lpips_trunk, architecture="lpips_alexnet"),
    "lpips_vgg16": partial(extractors.lpips_trunk, architecture="lpips_vgg16"),
}


def _extractor(features):
    """Return the Extractor, or the Classifier, in a file; None for a classifier yet to be trained."""
    name, _, path = str(features).partition(":")
    if name not in _EXTRACTORS:
        raise ValueError(
            f"evaluation.features must be 'classifier' or '<name>:<path>', the name among "
            f"{', '.join(_EXTRACTORS)}; got {features!r}{systems.nearest(name, _EXTRACTORS)}"
        )
    if not path and name != "classifier":
        raise ValueError(f"evaluation.features={name!r} needs a path to its weights, '{name}:<path>'")
    return _EXTRACTORS[name](path) if path else None


def _labels(config, train, num):
    """Return int32 [num] labels in the training set's proportions, or None for an unconditional model."""
    if not config.model.get("num_classes"):
        return None
    if train.label is None:
        raise ValueError(f"a class-conditional model needs labels to be measured, but {train.name} has none")
    return np.sort(train.label)[np.arange(num) * len(train) // num]


def _image_metrics(config, settings, train, extractor, seed):
    """Return (images, asked) -> metrics, the same in brief, the held-out images' metrics, and conventions."""
    held_out = systems.load_data(config, "test")
    if train.label is None and extractor is None:
        measure = lambda x, asked: {"count": len(x), **report.measure_copies(x, train, held_out)}
        return measure, None, measure(held_out.x, None), None
    judging = extractor if isinstance(extractor, classifier.Classifier) else None
    if judging is None and train.label is not None:
        judging = classifier.fit(train, held_out, seed=seed)
    if extractor is None or extractor is judging:
        extractor = classifier.extractor(judging)
    conditional = bool(config.model.get("num_classes"))
    judge = report.judge(
        extractor, judging, train, held_out, np.random.default_rng(seed), conditional, settings["reference"]
    )
    measure = lambda x, asked: report.measure_images(x, asked, judge, np.random.default_rng(seed))
    quality = lambda x, asked: report.measure_quality(x, asked, judge)
    some = _some(held_out, settings["reference"])
    conventions = f"{extractor.conventions} {report.sizes(judge)}"
    return measure, quality, measure(some.x, some.label), conventions


def _some(source, most):
    """Return the first `most` examples, or all of them."""
    label = None if source.label is None else source.label[:most]
    return Source(source.x[:most], label, source.num_classes, source.name)


def _point_metrics(config, settings, train, extractor, seed):
    """Return what `_image_metrics` does, of points against fresh points."""
    del train, extractor
    config, num = ConfigDict(config.to_dict()), settings["num_samples"]
    config.data.num_examples = 2 * num
    fresh = systems.load_data(config, "test")
    label = None if fresh.label is None else fresh.label[:num]
    real = Source(fresh.x[:num], label, fresh.num_classes, fresh.name)
    measure = lambda x, asked: report.measure_points(x, asked, real, np.random.default_rng(seed))
    return measure, None, measure(fresh.x[num:], None if label is None else fresh.label[num:]), None


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
    run_folder.write(workdir / "evaluation.md", "\n\n".join(_pages(workdir, result)) + "\n")


def _pages(workdir, result):
    columns = {_HELD_OUT: result["real"]} | {_title(each): each for each in result["samples"]}
    sampler = ", ".join(f"{key} {value}" for key, value in result["sampler"].items())
    yield f"# Evaluation of {workdir.absolute().name}"
    made = f"The moving average after {result['step']:,} steps."
    yield f"{made} Sampler: {sampler}. Device: {result['device']}."
    yield report.table(columns).rstrip()
    if result["conventions"]:
        yield f"Features: {result['conventions']}"
    yield "Times are of sampling alone, without compilation."
    yield from (f"![{_title(each)}]({_picture_of(each)})" for each in result["samples"])
    if "sweep" in result:
        figures.quality(
            workdir / "evaluation/sweep.png", result["sweep"], result["sweep"][0]["frechet_floor"]
        )
        yield f"## Quality against steps, {_title(result['samples'][0])}"
        yield report.table({f"{each['steps']} steps": each for each in result["sweep"]}).rstrip()
        yield "![quality against steps](evaluation/sweep.png)"
    if "bound" in result:
        figures.bound_terms(workdir / "evaluation/bound.png", {"held-out images": result["bound"]})
        yield "## Bits per dimension"
        yield report.bound_table(result["bound"]).rstrip()
        yield "![terms of the bound](evaluation/bound.png)"
    for key, text in (
        ("continuous_bound", report.continuous_bound_table),
        ("likelihood", report.likelihood_text),
    ):
        if key in result:
            yield "## Bits per dimension"
            yield text(result[key]).rstrip()


def _title(measured):
    weight = measured["guidance_weight"]
    return f"guidance weight {weight:g}" if weight else "unguided"


def _picture_of(measured):
    return f"evaluation/samples_w{measured['guidance_weight']:g}.png"


def _flags():
    commands.define_run_flags()
    return {
        "num": flags.DEFINE_integer("num", None, "Samples for each guidance weight."),
        "steps": flags.DEFINE_integer("steps", None, "Steps of the sampler.", lower_bound=1),
        "guidance_weights": flags.DEFINE_list(
            "guidance_weights", None, "w of guidance, e.g. 0,0.5; 0 is none."
        ),
        "bound_images": flags.DEFINE_integer(
            "bound_images", None, "Held-out images whose bits/dim are measured; 0 for none.", lower_bound=0
        ),
        "sweep_steps": flags.DEFINE_list("sweep_steps", None, "Numbers of steps to compare, e.g. 5,10,50."),
        "features": flags.DEFINE_string(
            "features", None, "Of the distances: classifier, or <name>:<path>, e.g. inception:weights.pth."
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
        for name, kind in (("guidance_weights", float), ("sweep_steps", int)):
            if options[name] is not None:
                options[name] = [_number(name, text, kind) for text in options[name]]
        evaluate(**options)
        folder = Path(options["workdir"])
        print((folder / "evaluation.md").read_text())
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
