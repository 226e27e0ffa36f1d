"""Readers of config sections that systems share: strings become functions here, and nowhere below."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import optax
from ml_collections import ConfigDict

from diffjax import checks, data, models, objectives
from diffjax.border import checked
from diffjax.objectives import weightings
from diffjax.process import prediction, schedules
from diffjax.systems import conditions, networks, null_guidance, requests
from diffjax.systems.options import call, is_section, named, number, optional, pick, require, section
from diffjax.systems.walks import Sampler as Sampler
from diffjax.systems.walks import sampler as sampler
from diffjax.systems.walks import time_grid as time_grid
from diffjax.training import optimizer
from diffjax.training.system import System, require_updates

_WEIGHTINGS = {
    name: getattr(weightings, name)
    for name in (
        *("snr", "snr_plus_one", "truncated_snr", "min_snr", "soft_min_snr", "p2", "edm", "sigmoid"),
        "likelihood",
    )
}
_PRECONDITIONINGS = {
    "edm": prediction.edm_preconditioning,
    "vp": prediction.vp_preconditioning,
    "iddpm": prediction.iddpm_preconditioning,
    "ve": prediction.ve_preconditioning,
    "trigflow": prediction.trigflow_preconditioning,
}
_SCHEDULES = {
    name: getattr(schedules, name)
    for name in (
        *("linear_beta", "cosine_beta", "scaled_linear", "sigmoid_beta", "geometric"),
        *("vp_linear", "sub_vp", "vp_cosine", "log_snr_linear", "ve", "edm", "rectified_flow"),
    )
}
_OWN_TIMES = {name: getattr(objectives, name) for name in ("log_normal", "logit_normal")}  # of no schedule
_TIMES = {
    **{name: getattr(objectives, name) for name in ("uniform", "low_discrepancy", "uniform_log_snr")},
    "second_moment": objectives.second_moment.sampler,
    **_OWN_TIMES,
}
DROPS = ("label_dropout", "condition_dropout")  # of config.objective, read by `request`


def shape(config: ConfigDict) -> tuple[int, ...]:
    """Return the shape of one example.

    Raises:
      ValueError: unless it is a tuple of sizes.
    """
    given = config.data.shape
    sizes = isinstance(given, tuple | list) and all(type(each) is int and each > 0 for each in given)
    if not sizes or not given:
        raise ValueError(f"data.shape must be a tuple of sizes such as (8, 8, 1), got {given!r}")
    return tuple(given)


def gives(config: ConfigDict) -> str:
    """Return what a model of the data makes: "images" [H, W, 1 or 3], "embeddings" (latents) or "points"."""
    sizes = shape(config)
    if len(sizes) != 3:
        return "points"
    return "images" if sizes[-1] in (1, 3) else "embeddings"


def network(config: ConfigDict) -> nn.Module:
    """Build the Flax module of `config.model`; its classes belong to `request`.

    Kinds are those of the module's annotations; what does not fit the data is found by tracing it alone.
    """
    require(config, "model.name")
    make = pick("model.name", config.model.name, models.NETWORKS)
    options = section(config, "model", "name", "num_classes")
    for name, value in options.items():
        _check_size(
            f"model.{name}", value, least=0 if name in ("frequencies", "dropout", "time_shift") else 1
        )
    module = call("model", checked(make), options)
    call("model", networks.served, {}, module, *networks.inputs(shape(config), module))
    return module


def _check_size(name, value, least):
    """Raise for a number that no network has: a size below 1, a scale that is not positive."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if isinstance(value, int) and not least <= value < 2**31:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not (np.isfinite(value) and value >= 0 and (value > 0 or least == 0)):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def request(config: ConfigDict, module: nn.Module, folder: str | Path | None = None) -> requests.Requests:
    """Build what the model is asked: the labels of `model.num_classes`, and the parts of `config.conditions`.

    Training hides labels by `objective.label_dropout`, another part by its own `drop`, and all at once by
    `objective.condition_dropout`.

    Args:
      config: of a run.
      module: the network, which says how wide a vector it takes.
      folder: of the run.
    """
    together = number("objective.condition_dropout", config.objective.get("condition_dropout", 0.0), 0, 1)
    labelled = _labelled(config, module, together > 0)
    asked = {} if labelled is None else {requests.LABEL: labelled}
    drops = {requests.LABEL: config.objective.get("label_dropout", 0.0)}
    more, own = conditions.parts(config, module, shape(config), together > 0, folder)
    conditions.require_maps(module, asked | more)
    if not asked and not more:
        if together:
            raise ValueError("objective.condition_dropout needs a model with conditions (config.conditions)")
        return requests.Requests()
    return requests.of_parts(asked | more, drops | own, together)


def _labelled(config, module, null):
    """Return the part of class labels, or None of a model without."""
    rows = config.model.get("num_classes")
    dropout = number("objective.label_dropout", config.objective.get("label_dropout", 0.0), 0, 1)
    if not rows:
        if dropout:
            raise ValueError("objective.label_dropout needs a class-conditional model (model.num_classes)")
        return None
    require(config, "data.num_classes")
    num_classes, null = config.data.num_classes, null or dropout > 0
    told = " (one more for the null label of label_dropout)" if null else ""
    if rows != num_classes + null:
        raise ValueError(f"model.num_classes must be {num_classes + null}{told}, got {rows}")
    if getattr(module, "vector_features", None) is None:
        raise ValueError(f"model.num_classes must be left out: {config.model.name!r} takes no classes")
    return requests.classes(num_classes, module.vector_features, null, config.data.get("class_names"))


def schedule(config: ConfigDict) -> schedules.Schedule:
    """Build the noise schedule of `config.schedule`; its `shift` is the factor of `schedules.shifted`.

    Raises:
      ValueError: for one that does not exist by itself, a VDM's "learned".
    """
    require(config, "schedule.name")
    if config.schedule.name == "learned":
        raise ValueError("schedule.name='learned' is trained with the network: it needs system 'vdm'")
    make = pick("schedule.name", config.schedule.name, _SCHEDULES)
    noise = call("schedule", make, section(config, "schedule", "name", "shift"))
    if "shift" not in config.schedule:
        return noise
    return call("schedule.shift", schedules.shifted, {}, noise, config.schedule.shift)


def reading(config: ConfigDict, noise: schedules.Schedule) -> prediction.Reading:
    """Build the Reading of the network from `objective.kind` or `objective.preconditioning`.

    "vp" and "iddpm" preconditionings tell the network the time of a schedule, which is the run's own.
    """
    name, options = named(config.objective.get("preconditioning"), "objective.preconditioning")
    if name is None:
        return kind(config, noise)
    if "kind" in config.objective:
        raise ValueError("objective.kind and objective.preconditioning exclude each other: give one")
    make = pick("objective.preconditioning", name, _PRECONDITIONINGS)
    needs = {"iddpm": "a chain", "vp": "a continuous schedule"}.get(name)
    if needs is None:
        return prediction.reading_of(call("objective.preconditioning", make, options))
    if (name == "iddpm") != (noise.num_steps is not None):
        raise ValueError(
            f"objective.preconditioning={name!r} needs {needs}, which {config.schedule.name!r} is not"
        )
    return prediction.reading_of(call("objective.preconditioning", make, options, noise))


def kind(
    config: ConfigDict, noise: schedules.Schedule, default: str = "eps", ask: Callable | None = None
) -> prediction.Reading:
    """Build the Reading of `objective.kind`."""
    name = config.objective.get("kind", default)
    pick("objective.kind", name, dict.fromkeys(prediction.KINDS))
    if name == "mean" and noise.num_steps is None:
        raise ValueError("objective.kind='mean' needs a chain, and schedule.name is continuous")
    previous = None if noise.num_steps is None else noise.step_before
    return prediction.reading(name, ask=ask, previous=previous)


def weighting(value: Any) -> Callable | None:
    """Build a weighting of x_0's error, or None."""
    return optional("objective.weighting", value, _WEIGHTINGS)


def times(config: ConfigDict, noise: schedules.Schedule, field: str = "times") -> objectives.TimeSampler:
    """Build the TimeSampler of `objective.times`, or of another field of it."""
    where = f"objective.{field}"
    name, options = named(config.objective.get(field, "uniform"), where)
    make = pick(where, "none" if name is None else name, _TIMES)
    if name not in _OWN_TIMES:
        made = call(where, make, options, noise)
    elif _fits(name, noise):
        made = call(where, make, options)
    else:
        raise ValueError(
            f"{where}={name!r} does not fit the schedule: log_normal is for edm, logit_normal for t in [0, 1]"
        )
    return made if isinstance(made, objectives.TimeSampler) else objectives.stateless(made)


def _fits(name, noise):
    if noise.num_steps is not None:
        return False
    return np.isinf(noise.t_end or 0) if name == "log_normal" else noise.t_max == 1


def require_unguided(config: ConfigDict, *more: str) -> None:
    """Raise a ValueError for options of guidance away from a null, and for more, where a system has none."""
    for field in (*null_guidance.FIELDS, *more):
        if config.sampler.get(field) is not None:
            raise ValueError(f"sampler.{field} is not for system {config.system!r}")


def require_no_schedule(config: ConfigDict) -> None:
    """Raise a ValueError for a schedule in the config of a system that has no noise levels."""
    if config.get("schedule") is not None:
        raise ValueError(f"config.schedule is not for system {config.system!r}, which has no noise levels")


def require_unconditional(config: ConfigDict) -> None:
    """Raise a ValueError for classes in the network of a system that is asked for none."""
    if config.model.get("num_classes"):
        raise ValueError(f"model.num_classes is not for system {config.system!r}, which is unconditional")


def resampled(sampler: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of a sampler with changes.

    Another solver begins without the options of the old, a number of steps without named levels.
    """
    if changes.get("solver", sampler.get("solver")) != sampler.get("solver"):
        shared = ("steps", "grid", "guidance_weight", "threshold", "edit", "measurement", "stop_at")
        shared += (
            *null_guidance.FIELDS,
            "classifier_scale",
            "classifier_of_x0",
            "classifier_shift",
            "guides",
            "guides_of_x0",
            "guide_intervals",
            "style_maps",
        )
        sampler = {key: value for key, value in sampler.items() if key in shared}
    if changes.get("steps") is not None:
        sampler = {key: value for key, value in sampler.items() if key != "levels"}
    return {**sampler, **changes}


def optimizers(config: ConfigDict, system: System) -> dict[str, optax.GradientTransformation]:
    """Build the optimizer of each update: one section `config.optimizer`, or one an update in it.

    A rate counts its own updates: `training.num_steps` times the update's repeats.
    """
    require_updates(system)
    require(config, "optimizer", "training.num_steps")
    own = {update.name: update.repeats * config.training.num_steps for update in system.updates}
    sections = {"optimizer": section(config, "optimizer")}
    if all(is_section(sections["optimizer"].get(name)) for name in own):
        for name in config.optimizer:
            pick("optimizer", name, own)
        sections = {f"optimizer.{name}": section(config, f"optimizer.{name}") for name in own}
    elif len(own) > 1:
        raise ValueError(f"config.optimizer must have a section for each update, {', '.join(own)}")
    return {
        name: call(field, optimizer.make, options, num_steps=count)
        for (name, count), (field, options) in zip(own.items(), sections.items())
    }


def source(config: ConfigDict, split: str) -> data.Source:
    """Load a split of the data that `config.data` names, and check it against the config.

    Raises:
      ValueError: if the examples have another shape or more classes than the config says.
    """
    require(config, "data.name", "data.shape")
    options = section(config, "data", "name", "shape", "num_classes", "flip", "class_names")
    if config.data.get("num_classes") is not None:
        checks.count("data.num_classes", config.data.num_classes)
    found = data.load(config.data.name, split, **options)
    if tuple(found.shape) != shape(config):
        raise ValueError(f"data.shape is {shape(config)}, but {found.name} has {tuple(found.shape)}")
    if config.data.get("num_classes") and found.label is None:
        raise ValueError(f"data.num_classes is {config.data.num_classes}, but {found.name} has no labels")
    if config.data.get("num_classes") and (found.num_classes or 0) > config.data.num_classes:
        raise ValueError(
            f"data.num_classes is {config.data.num_classes}, but {found.name} has {found.num_classes}"
        )
    conditions.require_arrays(config, found)
    return found
