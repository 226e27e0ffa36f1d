"""Autoguidance: a run guided away from a weaker one, of less capacity or training (Karras et al. 2024).

    config.sampler.guidance = {"name": "autoguidance", "workdir": "runs/small", "step": 2000}
    config.sampler.guidance_weight = 1.0  # s = 2

The weaker run is a stage, copied into the run that it guides when that is sampled; one that is named with
another step or average is a copy of its own, and it may be the run itself, earlier. It has the same examples,
schedule and conditions, and is asked the same.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from diffjax.process.prediction import Denoiser
from diffjax.systems import stages, walks
from diffjax.systems.stages import Stage
from diffjax.systems.steering import same_schedule
from diffjax.training.system import Conditioning, Request, System, Variables

NAME = "weak"
_FIELD = "sampler.guidance"


def of_config(config: ConfigDict, sampler: walks.Sampler, folder: str | Path | None) -> Stage | None:
    """Make the stage of the weaker run that a sampler names; None where it names none.

    Raises:
      ValueError: for no run, or of a system in latents.
    """
    if sampler.weak is None:
        return None
    if "pictures" in config.data:
        raise ValueError(f"{_FIELD}='autoguidance' is not for system 'latent', whose walk is in latents")
    told = json.dumps({**sampler.weak, "workdir": str(sampler.weak["workdir"])}, sort_keys=True)
    copied = f"{NAME}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    given = {**sampler.weak, "sampler": {"guidance_weight": 0.0}}  # it is not sampled, nor guided itself
    return stages.stage(given, folder, _FIELD, copied)


def beside(own: System, weak: Stage, request: Conditioning) -> System:
    """Return a system that stands on its weaker run.

    Args:
      own: the system.
      weak: the run.
      request: what the system's network is told.

    Raises:
      ValueError: for a run without a denoiser, or of examples, noise or conditions that are not its own.
    """
    other = weak.system
    if other.denoiser is None or other.schedule is None or "schedule" in other.serves or other.codec:
        raise ValueError(f"{_FIELD}.workdir must be a run with a denoiser of data, on a fixed schedule")
    shapes = [tuple(each.example["x"].shape[1:]) for each in (other, own)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{_FIELD}.workdir is of examples {shapes[0]}, and this run of {shapes[1]}")
    if not same_schedule(other.schedule(None), own.schedule(None)):
        raise ValueError(f"{_FIELD}.workdir must be trained on the noise schedule of this run")
    theirs, ours = (
        {name: (part.shape, part.dtype, tuple(part.names or ())) for name, part in each.parts.items()}
        for each in (other.request, request)
    )
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise ValueError(f"{_FIELD}.workdir must be asked as this run is, and {name!r} differs")
    return stages.beside(own, NAME, weak)


def denoiser(weak: Stage | None) -> Callable[[Variables, Request], Denoiser] | None:
    """Return (variables, request) -> the denoiser of the weaker run, told that request."""
    if weak is None:
        return None

    def of(variables, request):
        own = variables.frozen[NAME]
        found, cond = weak.system.denoiser(own), weak.system.request.encode(own, request)
        return lambda x_t, level, other=None: found(x_t, level, cond)

    return of


def calls(sampler: walks.Sampler) -> dict[str, int]:
    """Return the calls a sample, of the network and of a weaker one."""
    found, own = sampler.network_calls(), sampler.calls
    return {"network": found} if sampler.weak is None else {"network": own, NAME: found - own}
