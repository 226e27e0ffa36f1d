"""Autoguidance: a run guided away from a weaker one, of less capacity or training (Karras et al. 2024).

    config.sampler.guidance = {"name": "autoguidance", "workdir": "runs/small", "step": 2000}
    config.sampler.guidance_weight = 1.0  # s = 2

The weaker run is a stage, copied into the run that it guides when that is sampled; one that is named with
another step or average is a copy of its own, and it may be the run itself, earlier. It has the same examples
and conditions, and is asked the same, on another noise schedule at equal log SNR. A run in latents has a
weaker one in the same latents.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffjax.process import forward, prediction
from diffjax.process.prediction import Denoiser
from diffjax.process.schedules import Schedule
from diffjax.systems import known, stages, walks
from diffjax.systems.stages import Stage
from diffjax.systems.steering import fixed_schedule, same_schedule, space_of
from diffjax.training.system import Conditioning, Part, Request, System, Variables

NAME = "weak"
_FIELD = "sampler.guidance"


def of_config(config: ConfigDict, sampler: walks.Sampler, folder: str | Path | None) -> Stage | None:
    """Make the stage of the weaker run that a sampler names; None where it names none.

    Raises:
      ValueError: for no run, or one in latents of one in data, or the other way round.
    """
    if sampler.weak is None:
        return None
    told = json.dumps({**sampler.weak, "workdir": str(sampler.weak["workdir"])}, sort_keys=True)
    copied = f"{NAME}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    own = {"guidance_weight": 0.0, "edit": None, "measurement": None}  # it is not sampled, nor guided itself
    weak = stages.stage({**sampler.weak, "sampler": own}, folder, _FIELD, copied)
    within = "pictures" in config.data
    if within != (weak.system.codec is not None):
        raise ValueError(
            f"{_FIELD}.workdir must be a run in {'latents' if within else 'data'}, as this one is"
        )
    return weak


def beside(own: System, weak: Stage, request: Conditioning) -> System:
    """Return a system that stands on its weaker run.

    Args:
      own: the system.
      weak: the run.
      request: what the system's network is told.

    Raises:
      ValueError: for a run without a denoiser, or of examples or conditions that are not its own.
    """
    other = weak.system
    if other.denoiser is None or other.schedule is None:
        raise ValueError(f"{_FIELD}.workdir must be a run with a denoiser, on a noise schedule")
    shapes = [space_of(each) for each in (other, own)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{_FIELD}.workdir is of examples {shapes[0]}, and this run of {shapes[1]}")
    theirs, ours = (_told(each.parts) for each in (other.request, request))
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise ValueError(f"{_FIELD}.workdir must be asked as this run is, and {name!r} differs")
    return stages.beside(own, NAME, weak)


def _told(parts: Mapping[str, Part]) -> dict[str, Any]:
    """Return what networks are told, by its name; of a picture that is filled in latents the name alone."""
    found = {name: (each.shape, each.dtype, tuple(each.names or ())) for name, each in parts.items()}
    filled = {known.NAME: ()} if {known.NAME, known.MASK} & found.keys() else {}
    return {name: each for name, each in known.others(found).items() if name != known.NAME} | filled


def denoiser(
    weak: Stage | None, schedule: Schedule | None = None
) -> Callable[[Variables, Request], Denoiser] | None:
    """Return (variables, request) -> the denoiser of the weaker run, told that request; None without one.

    Args:
      weak: the run.
      schedule: of the levels that it is asked at; None where it is trained.
    """
    if weak is None:
        return None
    same = same_schedule(fixed_schedule(weak.system), schedule)

    def of(variables, request):
        own, system = variables.frozen[NAME], weak.system
        found, cond = system.denoiser(own), system.request.encode(own, known.others(request))

        def at_its_own(x_t, level, other=None):
            guess = found(*forward.rescaled(x_t, level, system.schedule(own)), cond)
            return prediction.from_x0(guess.x0, x_t, level)

        return (lambda x_t, level, other=None: found(x_t, level, cond)) if same else at_its_own

    return of


def calls(sampler: walks.Sampler) -> dict[str, int]:
    """Return the calls a sample, of the network and of a weaker one."""
    found, own = sampler.network_calls(), sampler.calls
    return {"network": found} if sampler.weak is None else {"network": own, NAME: found - own}
