"""The average velocity from t to s: one network call from noise to data (Geng et al. 2025).

    config.schedule = {"name": "rectified_flow"}
    config.model = {"name": "mlp", "times": 2, ...}  # it is told t and t - s
    config.objective = {"improved": True, "power": 1.0, "times": {"name": "logit_normal", "mean": -0.4}}
    config.sampler = {"steps": 1}

At s = t it is the velocity, so that the system is a denoiser as well. `objective.rule` says by which equation
it is learned: MeanFlow's own, the Lagrangian one, or the semigroup's of shortcut models, see
`mean_flow_rules`. A `config.teacher` on the same schedule says the velocity in the place of the data. Samples
are walked by `samplers.jump()`.
"""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import flow_maps, samplers
from diffjax.process import prediction
from diffjax.process.schedules import Schedule
from diffjax.samplers import starts
from diffjax.systems import networks, read
from diffjax.systems.mean_flow_rules import Rule, rule_of
from diffjax.systems.options import call, require, section
from diffjax.systems.requests import Requests, prepared
from diffjax.systems.stages import Stage
from diffjax.systems.students import TEACHER, require_forward_mode, required_teacher
from diffjax.training import ema
from diffjax.training.system import Pass, System, Update, from_loss

NEEDED = ("data", "schedule", "model", "objective", "sampler")
SECTIONS = (*NEEDED, "conditions", TEACHER)
IDENTITY = ("data", "schedule", "model", "conditions")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`."""
    require(config, *NEEDED)
    noise = read.schedule(config)
    if noise.num_steps is not None:
        raise ValueError("schedule.name must be of a continuous schedule: a mean flow needs rates")
    if config.model.get("times") != 2:
        raise ValueError(f"model.times must be 2, t and t - s; got {config.model.get('times', 1)!r}")
    rule = rule_of(config, noise)
    if rule.forward:
        require_forward_mode(config, None)
    module, teacher = read.network(config), None
    if config.get(TEACHER) is not None:
        teacher = required_teacher(config, folder)
        _require_its_schedule(teacher.system.schedule(None), noise)
    return mean_flow(
        module, noise, _times(config, noise), shape=read.shape(config), rule=rule,
        requests=read.request(config, module, folder), gives=read.gives(config), teacher=teacher,
    )  # fmt: skip


def mean_flow(
    module: nn.Module,
    schedule: Schedule,
    walked: Any,
    *,
    shape: tuple[int, ...],
    rule: Rule,
    requests: Requests,
    gives: str = "images",
    teacher: Stage | None = None,
) -> System:
    """Make the system.

    Args:
      module: network `(x, [t, t - s] [B, 2], Condition | None) -> u`.
      schedule: a continuous one.
      walked: times that samples are walked along, from noise to data.
      shape: of one example.
      rule: Rule.
      requests: what the model is asked.
      gives: "images" or "points".
      teacher: that says the velocity; None takes the data's.

    Raises:
      ValueError: for a network with a state.
    """
    inputs = networks.inputs(shape, module)
    networks.require_params_alone(module, *inputs)
    request, solver = requests.conditioning, samplers.jump()
    rows = samplers.plan(schedule, solver, walked)

    def average(v, key=None):
        network = networks.of(module, v, key)
        gap = lambda t, s: jnp.where(t - s <= 1.001 * rule.smallest, 0, t - s) if rule.smallest else t - s
        return lambda x, t, s, cond=None: network(x, jnp.stack([t, gap(t, s)], -1), cond)

    def init(key, batch, frozen):
        del batch, frozen
        params = networks.init(module, key, *networks.zeros(inputs))[0] | requests.init(key)
        return params, ({} if rule.rate is None else {"target": jax.tree.map(jnp.copy, params)})

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        levels = [schedule(t) for t in rule.draw(key_t, n)]
        keep = request.kept(key_drop, n)
        asked = request.of_batch(v, key_asked, batch)
        extra, target = v.extra, v
        if rule.rate is not None:  # first thing in a step, by the parameters that come in
            moved = ema.update(v.extra["target"], jax.lax.stop_gradient(v.params), rule.rate)
            extra, target = {**v.extra, "target": moved}, v._replace(params=moved)
        told = {"target_cond": request.encode(target, asked, keep)}
        if teacher is not None:
            base, taught = teacher.system, v.frozen[TEACHER]
            own = base.request.of_batch(taught, key_asked, batch)
            kept = None if base.request.drop is None else keep
            cond = base.request.encode(taught, own, kept)
            told |= {"teacher": base.denoiser(taught), "teacher_cond": cond}
        losses = rule.loss(
            average(v, key_network), average(target, key_network), x0,
            jax.random.normal(key_eps, x0.shape, x0.dtype), levels, request.encode(v, asked, keep), **told,
        )  # fmt: skip
        return losses.mean(), (extra, {})

    def flow_map(v, key=None):
        return flow_maps.mean_flow(average(v, key))

    def denoiser(v, key=None):
        u = average(v, key)
        return prediction.reading("velocity").denoiser(lambda x, t, cond=None: u(x, t, t, cond))

    def walk(v, keys, asked, made):
        del made
        x = starts.start_of(keys, schedule, (len(keys), *shape), walked)
        return samplers.walk(keys, flow_map(v), solver, rows, x, cond=request.encode(v, asked))

    def prepare(folder, source=None):
        source = requests.prepare(folder, source)
        return ({} if teacher is None else {TEACHER: teacher.read(folder)}), source

    names = ("network", *requests.learned())
    return System(
        example={"x": jax.ShapeDtypeStruct((1, *shape), jnp.float32), **requests.example},
        init=init,
        updates=(Update("network", names, from_loss(total, names), rowwise=rule.rate is None),),
        serves=names,
        frozen={} if teacher is None else {TEACHER: teacher.shapes()},
        prepare=prepare if teacher is not None else prepared(requests),
        request=request,
        passes=(Pass("jump", walk, {"network": len(walked) - 1}),),
        gives=gives,
        denoiser=denoiser,
        schedule=lambda v: schedule,
        flow_map=flow_map,
        stages={} if teacher is None else {TEACHER: teacher},
    )


def _require_its_schedule(taught: Schedule, noise: Schedule) -> None:
    """Raise a ValueError for a teacher of other noise levels: its velocity would be another one."""
    at = np.linspace(noise.t_min, noise.t_max, 9)
    if taught.num_steps is not None or not np.allclose(taught(at).sigma, noise(at).sigma):
        raise ValueError("config.teacher must be a run on the schedule of config.schedule")


def _times(config: ConfigDict, noise: Schedule) -> np.ndarray:
    """Return the grid of `sampler.steps` and `sampler.grid`, on which a map may jump anywhere."""
    options = section(config, "sampler")
    for name in options:
        if name not in ("steps", "grid"):
            raise ValueError(f"sampler.{name} is not an option of a mean flow: steps and grid are")
    require(config, "sampler.steps")
    times = read.time_grid(noise, options["steps"], options.get("grid", "uniform"))
    call("sampler", starts.noise_scale, {}, noise, times[0])
    return times
