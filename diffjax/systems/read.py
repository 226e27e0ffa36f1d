"""Readers of config sections that systems share: strings become functions here, and nowhere below."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
import optax
from ml_collections import ConfigDict

from diffjax import checks, data, guidance, models, objectives, samplers
from diffjax.border import checked
from diffjax.objectives import weightings
from diffjax.process import prediction, schedules
from diffjax.samplers import listing, starts
from diffjax.systems import conditions, edits, networks, null_guidance, requests, strengths
from diffjax.systems.options import call, is_section, named, number, optional, pick, require, section
from diffjax.training import optimizer
from diffjax.training.system import Request, System, require_updates
from diffjax.types import Array

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
_THRESHOLDS = {"static": guidance.clip, "dynamic": guidance.dynamic_threshold}
DROPS = ("label_dropout", "condition_dropout")  # of config.objective, read by `request`


class Sampler(NamedTuple):
    """What `config.sampler` says: a solver on a grid, and what is done to the denoiser."""

    solver: samplers.Solver
    times: np.ndarray
    guidance_weight: strengths.Strength
    threshold: Callable | None
    calls: int  # a sample, unguided
    guide: null_guidance.Guide | None = None  # None: classifier-free, at the weight
    guided_calls: int | None = None  # None: two where there is one
    edit: edits.Edit = edits.Edit()
    scales: Mapping[str, strengths.Strength] = {}  # of guidance, one a part; empty: the weight, of all

    def network_calls(self) -> int:
        """Return the network calls a sample, those of guidance counted."""
        if not self.guides:
            return self.calls
        return 2 * self.calls if self.guided_calls is None else self.guided_calls

    @property
    def guides(self) -> bool:
        """Whether predictions are guided away from a null."""
        return bool(self.guidance_weight or self.scales)

    @property
    def cuts(self) -> list[guidance.Transformation]:
        """What keeps x_0 in its range, mostly nothing."""
        return [] if self.threshold is None else [self.threshold]

    def guided(self, null: Any) -> guidance.Transformation:
        """Return the guidance away from a null."""
        if self.guide is None:
            return guidance.classifier_free(weight=self.guidance_weight, null=null)
        return self.guide(null)

    def start(
        self, keys: Array, schedule: schedules.Schedule, shape: tuple[int, ...], asked: Request | None = None
    ) -> Array:
        """Draw x where the walk begins: noise, or what an edit begins from; a refusal names the section."""
        if self.edit.strength is None:
            return call("sampler", starts.start_of, {}, keys, schedule, shape, self.times)
        return self.edit.start(keys, schedule, asked, self.times)

    def fill(self, keys: Array, asked: Request) -> list[guidance.Transformation]:
        """Return what keeps the known part of a picture, a denoiser's last change; mostly nothing."""
        return self.edit.fill(keys, self.solver, asked)


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
    name, options = named(config.objective.get("preconditioning"))
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
    name, options = named(config.objective.get(field, "uniform"))
    where = f"objective.{field}"
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


def sampler(config: ConfigDict, noise: schedules.Schedule) -> Sampler:
    """Build what `config.sampler` names.

    `sampler.steps` is of the time grid; a solver's own `steps` at each level are `sampler.steps_per_level`.
    `sampler.stop_at` leaves noise of that standard deviation in what is sampled.
    """
    require(config, "sampler.solver", "sampler.steps")
    options: dict[str, Any] = section(config, "sampler")
    make = pick("sampler.solver", options["solver"], listing.SOLVERS).make
    grid_times = time_grid(noise, options.pop("steps"), options.pop("grid", "uniform"))
    if "steps_per_level" in options:
        options["steps"] = checks.count("sampler.steps_per_level", options.pop("steps_per_level"))
    seen = (config.get("data") or {}).get("pictures")  # by a system of their latents
    edit = edits.of_config(options.get("edit"), None if seen is None else tuple(seen))
    grid_times = edit.times(grid_times)
    if options.get("stop_at") is not None:
        grid_times = call("sampler.stop_at", samplers.grids.until, {}, grid_times, noise, options["stop_at"])
    weight = strengths.strength("sampler.guidance_weight", options.pop("guidance_weight", 0.0), noise)
    by_level = options.get("guidance_interval") is not None
    scales = null_guidance.scales(options, weight, noise)
    guide = null_guidance.guide(options, weight, noise, _kind_of(config), scales)
    options = {name: value for name, value in options.items() if name not in ("solver", "edit", "stop_at")}
    threshold = optional("sampler.threshold", options.pop("threshold", None), _THRESHOLDS)
    correctors = {name: each.make for name, each in listing.CORRECTORS.items()}
    corrector = optional("sampler.corrector", options.pop("corrector", None), correctors)
    solver = call("sampler", make, options)
    if corrector is not None:
        solver = samplers.predictor_corrector(solver, corrector)
    solver = edit.solver(solver, grid_times)
    # what the plan refuses is no fault of the objective
    rows = call("sampler", samplers.plan, {}, noise, solver, grid_times)
    # each step is traced only where steps may differ, or s = 0 asks the network once
    traced = (by_level and weight) or callable(weight) or weight == -1 or scales
    calls = null_guidance.network_calls(solver, rows, guide, scales) if traced else None
    plain = samplers.network_calls(solver, rows)
    return Sampler(solver, grid_times, weight, threshold, plain, guide, calls, edit, scales)


def _kind_of(config):
    """Return the kind of the network's output, None where it is preconditioned."""
    objective = config.get("objective") or {}
    return None if named(objective.get("preconditioning"))[0] else objective.get("kind", "eps")


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
        shared = ("steps", "grid", "guidance_weight", "threshold", "edit", "stop_at", *null_guidance.FIELDS)
        shared += ("classifier_scale", "classifier_of_x0", "classifier_shift", "guides")
        sampler = {key: value for key, value in sampler.items() if key in shared}
    if changes.get("steps") is not None:
        sampler = {key: value for key, value in sampler.items() if key != "levels"}
    return {**sampler, **changes}


def time_grid(noise: schedules.Schedule, steps: Any, kind: str, section: str = "sampler") -> np.ndarray:
    """Return the times of `steps` and `grid` of a section, "sampler" or another."""
    try:
        return samplers.grids.make(noise, steps, kind)
    except ValueError as error:  # it names "steps" or "grid"
        raise ValueError(f"{section}.{error}") from error


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
