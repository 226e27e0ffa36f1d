"""What systems share that steer a trained denoiser by another trained system, and have nothing to learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from diffjax import guidance
from diffjax.process.prediction import Denoiser
from diffjax.process.schedules import Schedule
from diffjax.systems import null_guidance, read
from diffjax.systems.options import section
from diffjax.systems.stages import Stage, stage
from diffjax.training import workdir
from diffjax.training.system import System

DENOISER = "denoiser"  # the stage that is steered, and its part of a condition


def stages_of(config: ConfigDict, guide: str) -> dict[str, Stage]:
    """Return the runs of `config.denoiser` and of what guides it."""
    return {name: stage(section(config, name), None, name) for name in (DENOISER, guide)}


def common_schedule(stages: Mapping[str, Stage]) -> Schedule:
    """Return the schedule of a denoiser and of what guides it; refuse two."""
    for name, each in stages.items():
        if each.system.schedule is None or "schedule" in each.system.serves:
            raise ValueError(f"config.{name} must be a run with a noise schedule that is not trained")
    (name, one), (guide, other) = ((name, each.system.schedule(None)) for name, each in stages.items())
    if not same_schedule(one, other):
        raise ValueError(f"config.{guide} must be trained on the noise schedule of config.{name}")
    return one


def same_schedule(one: Schedule, other: Schedule) -> bool:
    """Say whether two schedules have the same times, and the same noise at them."""
    ends = [(each.num_steps, each.t_min, each.t_max) for each in (one, other)]
    if ends[0] != ends[1]:
        return False
    times = np.linspace(one.t_min, one.t_max, 100)
    levels = [np.stack(np.broadcast_arrays(*each(times)[1:3])) for each in (one, other)]  # alpha, sigma
    return np.allclose(*levels, rtol=1e-6)


def require_same_examples(stages: Mapping[str, Stage]) -> None:
    """Raise a ValueError for runs of examples of two shapes."""
    (name, one), (guide, other) = (
        (name, tuple(each.system.example["x"].shape[1:])) for name, each in stages.items()
    )
    if one != other:
        raise ValueError(f"config.{guide} is of examples {other}, and config.{name} of {one}")


def sampler_of(config: ConfigDict, options: Mapping[str, Any], own: System, noise: Schedule) -> read.Sampler:
    """Return the sampler of what `config.sampler` says but for the guide.

    Args:
      config: of a run.
      options: of the section, without those of the guide.
      own: the system that is steered.
      noise: the schedule.

    Raises:
      ValueError: for guidance away from a null that the steered model has not, or from a weaker run.
    """
    run = workdir.read_config(workdir.local(config[DENOISER]["workdir"]))  # whose output is rescaled
    objective = run.get("objective") or {}
    sampler = read.sampler(ConfigDict({"sampler": dict(options), "objective": objective}), noise)
    if sampler.weak is not None:
        raise ValueError(f"sampler.guidance='autoguidance' is not for system {config.system!r}")
    null_guidance.check(sampler, own.request)
    return sampler


def steered(
    plain: Denoiser, steps: Sequence[guidance.Transformation], changes: Sequence[guidance.Transformation]
) -> Denoiser:
    """Return a denoiser of conditions {"denoiser": ...}, changed in steps, and then as a sampler says."""

    def unguided(x_t, level, cond=None):
        return plain(x_t, level, told(cond, DENOISER))

    return guidance.chain(*steps, *changes)(unguided)


def told(cond: Any, name: str) -> Any:
    """Return what a condition says to one of the two; ValueError for none."""
    if cond is None:
        raise ValueError("cond must be what request.encode makes: a guided denoiser needs a request")
    return cond[name]
