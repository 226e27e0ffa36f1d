"""The section `config.sampler`: how samples are walked, and what is done to the denoiser on the way."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, guidance, samplers
from diffjax.process import schedules
from diffjax.samplers import listing, starts
from diffjax.systems import edits, measurements, null_guidance, strengths
from diffjax.systems.options import call, named, optional, pick, require, section
from diffjax.training.system import Conditioning, Request
from diffjax.types import Array

_THRESHOLDS = {"static": guidance.clip, "dynamic": guidance.dynamic_threshold}
_OTHERS = ("solver", "edit", "measurement", "stop_at")  # fields that are no options of a solver


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
    weak: Mapping[str, Any] | None = None  # the run of autoguidance, in the place of a null
    measurement: measurements.Measurement | None = None

    def network_calls(self) -> int:
        """Return the network calls a sample, those of guidance counted, a weaker network's too."""
        if not self.guides:
            return self.calls
        return 2 * self.calls if self.guided_calls is None else self.guided_calls

    @property
    def guides(self) -> bool:
        """Whether predictions are guided away from a null or a weaker run."""
        return bool(self.guidance_weight or self.scales)

    @property
    def cuts(self) -> list[guidance.Transformation]:
        """What keeps x_0 in its range, mostly nothing."""
        return [] if self.threshold is None else [self.threshold]

    def guided(self, null: Any) -> guidance.Transformation:
        """Return the guidance away from a null, or from the denoiser of a weaker run."""
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

    def changes(self, keys: Array, asked: Request) -> list[guidance.Transformation]:
        """Return what changes a denoiser besides its guidance, in order.

        It is steered towards what was measured, x_0 kept in its range, and what is known of a picture put in.
        """
        steers = [] if self.measurement is None else self.measurement.steers(asked)
        return [*steers, *self.cuts, *self.edit.fill(keys, self.solver, asked)]

    def asks(self, request: Conditioning, shape: tuple[int, ...], gives: str | None) -> Conditioning:
        """Return what a system may be asked, with the pictures that its walk reads."""
        request = self.edit.asks(request, shape, gives)
        return request if self.measurement is None else self.measurement.asks(request, shape, gives)


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
    weak = null_guidance.weaker(options, weight)
    scales = null_guidance.scales(options, weight, noise)
    guide = null_guidance.guide(options, weight, noise, _kind_of(config), scales)
    measured = measurements.of_config(options.get("measurement"), noise)
    options = {name: value for name, value in options.items() if name not in _OTHERS}
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
    auto = weak is not None
    calls = null_guidance.network_calls(solver, rows, guide, scales, auto) if traced else None
    plain = samplers.network_calls(solver, rows)
    return Sampler(solver, grid_times, weight, threshold, plain, guide, calls, edit, scales, weak, measured)


def _kind_of(config):
    """Return the kind of the network's output, None where it is preconditioned."""
    objective = config.get("objective") or {}
    return (
        None
        if named(objective.get("preconditioning"), "objective.preconditioning")[0]
        else objective.get("kind", "eps")
    )


def time_grid(noise: schedules.Schedule, steps: Any, kind: str, section: str = "sampler") -> np.ndarray:
    """Return the times of `steps` and `grid` of a section, "sampler" or another."""
    try:
        return samplers.grids.make(noise, steps, kind)
    except ValueError as error:  # it names "steps" or "grid"
        raise ValueError(f"{section}.{error}") from error
