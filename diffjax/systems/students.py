"""What systems share that learn from a trained denoiser, and begin as it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax import objectives, samplers
from diffjax.models import attention
from diffjax.process.level import NoiseLevel
from diffjax.process.prediction import Reading
from diffjax.process.schedules import Schedule
from diffjax.samplers import starts
from diffjax.systems import networks, read
from diffjax.systems.ddpm import ddpm
from diffjax.systems.options import call, require, section
from diffjax.systems.stages import Stage, stage
from diffjax.training.system import Conditioning, Pass, System, Update, Variables
from diffjax.types import Array

TEACHER = "teacher"  # the stage's name


def teacher_of(config: ConfigDict, folder: str | Path | None) -> Stage | None:
    """Return the stage of `config.teacher`, whose schedule, model and conditions are the student's.

    None where it is not given: then the config has them itself.
    """
    if config.get(TEACHER) is None:
        require(config, "schedule", "model")
        return None
    for name in ("schedule", "model", "conditions"):
        if config.get(name) is not None:
            raise ValueError(f"config.{name} must be left out: it is the teacher's")
    return required_teacher(config, folder)


def required_teacher(config: ConfigDict, folder: str | Path | None, **more: Any) -> Stage:
    """Return the stage of `config.teacher`, with more entries in that section.

    Raises:
      ValueError: for a run that cannot teach examples of `data.shape`.
    """
    teacher = stage({**section(config, TEACHER), **more}, folder, TEACHER)
    _require_denoiser(teacher.system, read.shape(config))
    return teacher


def schedule_of(config: ConfigDict, teacher: Stage | None) -> Schedule:
    """Return the teacher's schedule, or without one that of the config."""
    return read.schedule(config) if teacher is None else teacher.system.schedule(None)


def _require_denoiser(base: System, shape: tuple[int, ...]) -> None:
    """Raise a ValueError for a run that has no denoiser, no fixed schedule, or examples of another shape."""
    if base.codec is not None:
        raise ValueError(
            "config.teacher must be a run that denoises the data themselves, and not their latents"
        )
    if base.denoiser is None or not base.passes:
        raise ValueError("config.teacher must be a run with a denoiser, which is sampled by walks of it")
    if base.schedule is None or "schedule" in base.serves:
        raise ValueError("config.teacher must be a run with a noise schedule that is not trained")
    if tuple(base.example["x"].shape[1:]) != shape:
        raise ValueError(
            f"config.teacher is of examples {tuple(base.example['x'].shape[1:])}, and data.shape is {shape}"
        )
    if any(name.endswith("_state") for name in base.serves):
        raise ValueError("config.teacher must be a run whose network has no state besides its parameters")


def asked_of(request: Conditioning, own: Callable) -> Conditioning:
    """Return what a base system may be asked, read with the variables that `own` makes of a student's."""
    return request._replace(
        of_batch=lambda v, key, batch: request.of_batch(own(v), key, batch),
        encode=lambda v, asked, keep=None: request.encode(own(v), asked, keep),
    )


def require_forward_mode(config: ConfigDict, teacher: Stage | None) -> None:
    """Raise a ValueError for a network that is differentiated in forward mode, and has attention without.

    Args:
      config: of the run, whose `model` it is where no teacher is given.
      teacher: the stage that the network is of, or that this one's teacher is, and so on.
    """
    field = "config.model"
    while teacher is not None and teacher.config is not None:
        field, config = "config.teacher: its model", teacher.config
        teacher = teacher.system.stages.get(TEACHER)
    model = config.get("model", {})
    for name in ("attention", "attention_implementation"):
        given = model.get(name, "xla")
        auto = given == "auto" and attention.which(given, jnp.dtype(model.get("dtype") or jnp.float32))
        if given in attention.REVERSE_ONLY or auto in attention.REVERSE_ONLY:
            raise ValueError(
                f"{field}.{name} must be 'xla' or 'plain' where the network is differentiated in forward "
                f"mode, which {auto or given!r} has not; got {given!r}"
            )


def stateless(times: objectives.TimeSampler) -> objectives.TimeSampler:
    """Return a TimeSampler of `objective.times`; ValueError for one with a state, which these losses lack."""
    if jax.tree.leaves(jax.eval_shape(times.init)):
        raise ValueError("objective.times must be one without a state, such as 'uniform'")
    return times


def levels_at(levels: NoiseLevel, i: Array) -> NoiseLevel:
    """Return the levels of a table on the host at traced indices."""
    return NoiseLevel(*(None if each is None else jnp.asarray(each, jnp.float32)[i] for each in levels))


def alone(config: ConfigDict, noise: Schedule, folder: str | Path | None, reading: Reading) -> System:
    """Return the system of a network of its own, of `config.model`, for a method that needs no teacher.

    Args:
      config, folder: of the run.
      noise: the schedule.
      reading: of the network.
    """
    module = read.network(config)
    networks.require_params_alone(module, *networks.inputs(read.shape(config), module))
    ddim = ConfigDict({"sampler": {"solver": "ddim", "steps": 2, "grid": "karras"}})  # not how it is sampled
    return ddpm(
        module, noise, read.sampler(ddim, noise), shape=read.shape(config), gives=read.gives(config),
        reading=reading, requests=read.request(config, module, folder),
    )  # fmt: skip


def params_of(base: System, v: Variables) -> dict[str, Any]:
    """Return the params that a base system serves, of those of a student."""
    return {name: v.params[name] for name in base.serves if name in v.params}


def own_of(base: System, teacher: Stage | None) -> Callable[..., Variables]:
    """Return (variables, params=None) -> those with which the base is the student, or has other params."""

    def own(v, params=None):
        params = params_of(base, v) if params is None else params
        return v._replace(params=params) if teacher is None else v.frozen[TEACHER]._replace(params=params)

    return own


def begun(base: System, teacher: Stage | None, key: Array, batch: Any, frozen: Any) -> dict[str, Any]:
    """Return the params that a student begins with: its teacher's, or without one those of a new base."""
    return dict(frozen[TEACHER].params) if teacher else dict(base.init(key, batch, {})[0])


def prepare_of(base: System, teacher: Stage | None) -> Callable:
    """Return the `System.prepare` of a student: frozen is {"teacher": Variables}, or what the base has."""

    def prepare(folder, source=None):
        frozen, source = base.prepare(None if teacher else folder, source)
        return ({TEACHER: teacher.read(folder)} if teacher else frozen), source

    return prepare


def few_steps(
    base: System,
    teacher: Stage | None,
    schedule: Schedule,
    times: Any,
    *,
    flow_map: Callable,
    init: Callable,
    updates: Sequence[Update],
) -> System:
    """Make the System of a flow map that is walked over its last level, with fresh noise between.

    Args:
      base: the teacher's system, or one that is trained alone: what may be asked is its.
      teacher: Stage, or None.
      schedule: any schedule.
      times: that samples are walked along, from noise to the last level.
      flow_map: (variables, key=None) -> FlowMap.
      init, updates: of the System.
    """
    own, solver = own_of(base, teacher), samplers.jump(renoise=True)
    rows = call("sampler", samplers.plan, {}, schedule, solver, times)
    call("sampler", starts.noise_scale, {}, schedule, times[0])  # refused here, not after the training

    def walk(v, keys, asked, made):
        del made
        x = starts.start_of(keys, schedule, (len(keys), *base.example["x"].shape[1:]), times)
        return samplers.walk(keys, flow_map(v), solver, rows, x, cond=base.request.encode(own(v), asked))

    return System(
        example=base.example,
        init=init,
        updates=updates,
        serves=base.serves,
        frozen={TEACHER: teacher.shapes()} if teacher else base.frozen,
        prepare=prepare_of(base, teacher),
        request=asked_of(base.request, own),
        passes=(Pass("jump", walk, {"network": len(times) - 1}),),
        gives=base.gives,
        schedule=lambda v: schedule,
        flow_map=flow_map,
        stages={TEACHER: teacher} if teacher else {},
    )
