"""What systems share that steer a trained denoiser by another trained system, and have nothing to learn.

A guide is asked in its own space and on its own noise schedule. It sees

- x_t, of a denoiser that walks in its own space, pictures or one and the same latents; where their schedules
  differ x_t is rescaled to the guide's, at equal log SNR (`forward.rescaled`);
- the predicted x_0, of the guide's least noise, where `of_x0` says so: then its own schedule does not matter;
- that x_0 decoded, of a guide of pictures and a denoiser of their latents, which needs `of_x0`. Gradients go
  back through the decoder and the denoiser, in every step.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from diffjax import guidance, samplers
from diffjax.process import forward
from diffjax.process.level import NoiseLevel
from diffjax.process.prediction import Denoiser
from diffjax.process.schedules import Schedule
from diffjax.systems import known, null_guidance, pipeline, read, same_latents
from diffjax.systems.options import call, section
from diffjax.systems.stages import Stage, stage
from diffjax.training import workdir
from diffjax.training.system import Pass, System, Variables
from diffjax.types import Array

DENOISER = "denoiser"  # the stage that is steered, and its part of a condition
DECODER = "decoder"  # whose calls are counted
Look = Callable[[Array, NoiseLevel], tuple[Array, NoiseLevel]]  # x and its level -> what a guide is asked


def stages_of(config: ConfigDict, guide: str) -> dict[str, Stage]:
    """Return the runs of `config.denoiser` and of what guides it."""
    return {name: stage(section(config, name), None, name) for name in (DENOISER, guide)}


def fixed_schedule(system: System) -> Schedule | None:
    """Return the noise schedule of a system; None where it has none, or one that is trained."""
    if system.schedule is None or "schedule" in system.serves:
        return None
    return system.schedule(None)


def schedule_of(stages: Mapping[str, Stage], name: str = DENOISER) -> Schedule:
    """Return the noise schedule of a run; one that is trained is read from its checkpoint."""
    own = stages[name]
    if own.system.schedule is None:
        raise ValueError(f"config.{name} must be a run with a noise schedule")
    return fixed_schedule(own.system) or own.system.schedule(own.read(None))


def space_of(system: System) -> tuple[int, ...]:
    """Return the shape of one x_t of a system."""
    return tuple(system.space or system.example["x"].shape[1:])


def same_schedule(one: Schedule | None, other: Schedule | None) -> bool:
    """Say whether two schedules are known, and have the same times and the same noise at them."""
    if one is None or other is None:
        return False
    if one is other:
        return True
    ends = [(each.num_steps, each.t_min, each.t_max) for each in (one, other)]
    if ends[0] != ends[1]:
        return False
    times = np.linspace(one.t_min, one.t_max, 100)
    levels = [np.stack(np.broadcast_arrays(*each(times)[1:3])) for each in (one, other)]  # alpha, sigma
    return np.allclose(*levels, rtol=1e-6)


def look(
    stages: Mapping[str, Stage], guide: str, noise: Schedule, of_x0: bool, field: str
) -> Callable[[Variables], Look]:
    """Return variables -> (x, level) -> (x, level), what the guide is asked of what the denoiser has.

    Args:
      stages: "denoiser" and the guide.
      guide: its name.
      noise: schedule of the denoiser.
      of_x0: whether x is the predicted x_0, and not x_t.
      field: of the config that says so, for messages.

    Raises:
      ValueError: where the two have no space in common, or x_t says nothing to the guide.
    """
    own, other = stages[DENOISER].system, stages[guide].system
    decoded = own.codec is not None and other.codec is None
    one, two = tuple(own.example["x"].shape[1:]) if decoded else space_of(own), space_of(other)
    if one != two:
        raise ValueError(f"config.{guide} is of examples {two}, and config.{DENOISER} of {one}")
    if other.codec is not None and own.codec is None:
        raise ValueError(f"config.{guide} is of latents, and config.{DENOISER} is not")
    if decoded and not of_x0:
        raise ValueError(
            f"{field} must be True where config.{guide} is of pictures and config.{DENOISER} of their "
            "latents: it is asked about the decoded x_0"
        )
    if other.schedule is None and not of_x0:
        raise ValueError(f"{field} must be True, as config.{guide} has no noise schedule")
    theirs = noise if other.schedule is None else schedule_of(stages, guide)
    least = theirs(theirs.t_min if theirs.num_steps is None else 1)
    if not of_x0 and not same_schedule(theirs, noise):
        call(f"config.{guide}", theirs.continuous, {})  # refused now, if it has nothing between its steps
        return lambda v: partial(forward.rescaled, schedule=theirs)

    def looks(v):
        decode = own.codec(v.frozen[DENOISER]).decode if decoded else lambda x: x
        return lambda x, level: (decode(x), least) if of_x0 else (x, level)

    return looks


def require_steerable(own: System, gives: Sequence[str] = ()) -> None:
    """Raise a ValueError for a system that is not sampled by one walk of a denoiser, and decoding at most."""
    after = 0 if own.codec is None else 1
    if own.denoiser is None or len(own.passes) != 1 + after or (gives and own.gives not in gives):
        told = f" of {' or '.join(gives)}" if gives else ""
        raise ValueError(
            f"config.{DENOISER} must be a run with a denoiser{told}, which samples by one walk of it"
        )
    if own.space is not None and not after:
        raise ValueError(f"config.{DENOISER} must be a run that walks in its data, or in latents of them")


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
    if sampler.measurement is not None and own.codec is not None:
        raise ValueError(f"sampler.measurement is not for a denoiser of latents, as config.{DENOISER} is")
    null_guidance.check(sampler, own.request)
    return sampler


def calls(
    stages: Mapping[str, Stage], guide: str, sampler: read.Sampler, steers: bool = True
) -> dict[str, int]:
    """Return the calls a sample of a steered walk; a guide of pictures calls the decoder of latents, too."""
    asked = [guide] if steers else []
    if asked and stages[DENOISER].system.codec and not stages[guide].system.codec:
        asked.append(DECODER)
    return {DENOISER: sampler.network_calls(), **dict.fromkeys(asked, sampler.calls)}


def made_of(
    stages: Mapping[str, Stage],
    sampler: read.Sampler,
    noise: Schedule,
    *,
    tell: Callable[..., Mapping[str, Any]],
    denoiser: Callable[..., Denoiser],
    calls: Mapping[str, int],
    solver: samplers.Solver | None = None,
    **fields: Any,
) -> System:
    """Make a system whose first pass walks a steered denoiser; what its own run does then comes after.

    Args:
      stages: "denoiser" and the guide.
      sampler: `read.Sampler`; its guidance away from the denoiser's null comes before the guide.
      noise: schedule of the denoiser.
      tell: (variables, request) -> conditions; that of the denoiser is replaced.
      denoiser: (variables, keys, guides, changes) -> Denoiser.
      calls: of the pass.
      solver: in the place of the sampler's, of the same rows.
      **fields: of the System.
    """
    own = stages[DENOISER].system
    first, *rest = own.passes
    rows, solver = samplers.plan(noise, sampler.solver, sampler.times), solver or sampler.solver
    # a schedule that is trained ends with noise, and x / alpha is the likeliest x_0 there
    left = 1.0 if fixed_schedule(own) else float(noise(sampler.times[-1]).alpha)

    def walk(v, keys, asked, made):
        del made
        n, mine = len(keys), v.frozen[DENOISER]
        if own.codec is not None:
            asked = known.in_latents(own.codec(mine), asked, False)
        x = sampler.start(keys, noise, (n, *space_of(own)), asked)
        told_own, guides = null_guidance.walked(sampler, own.request, mine, asked[DENOISER], n)
        denoise = denoiser(v, keys, guides, sampler.changes(keys, asked))
        cond = {**tell(v, asked), DENOISER: told_own}
        x_0: Any = samplers.walk(keys, denoise, solver, rows, x, cond=cond)
        return x_0 / left

    def after(each):
        def run(v, keys, asked, made):
            pictures = {part: asked[part] for part in (known.IMAGE, known.MASK) if part in asked}
            return each.run(v.frozen[DENOISER], keys, {**asked[DENOISER], **pictures}, made)

        return each._replace(run=run)

    made = pipeline.made_of(
        stages,
        passes=(Pass(first.name, walk, calls), *map(after, rest)),
        gives=own.gives,
        schedule=lambda v: noise,
        codec=None if own.codec is None else lambda v: own.codec(v.frozen[DENOISER]),
        space=own.space,
        **fields,
    )

    def prepare(folder, source=None):
        frozen, source = made.prepare(folder, source)
        same_latents.require({f"config.{name}": frozen[name] for name in stages})
        return frozen, source

    return made._replace(prepare=prepare)


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
