"""MeanFlow: one network call from noise to data, learned without a teacher (Geng et al. 2025).

    config.schedule = {"name": "rectified_flow"}
    config.model = {"name": "mlp", "times": 2, ...}  # it is told t and t - s
    config.objective = {"improved": True, "power": 1.0, "times": {"name": "logit_normal", "mean": -0.4}}
    config.sampler = {"steps": 1}

The network is the average velocity from t to s. At s = t that is the velocity, so that the system is a
denoiser as well. Samples are walked by `samplers.jump()`.
"""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, flow_maps, objectives, samplers
from diffjax.process import prediction
from diffjax.process.schedules import Schedule
from diffjax.samplers import starts
from diffjax.systems import networks, read
from diffjax.systems.options import call, fill, number, require, section
from diffjax.systems.requests import Requests, prepared
from diffjax.training.system import Pass, System, Update, from_loss

NEEDED = ("data", "schedule", "model", "objective", "sampler")
SECTIONS = (*NEEDED, "conditions")
IDENTITY = ("data", "schedule", "model", "conditions")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`."""
    require(config, *NEEDED)
    noise = read.schedule(config)
    if noise.num_steps is not None:
        raise ValueError("schedule.name must be of a continuous schedule: a mean flow needs rates")
    if config.model.get("times") != 2:
        raise ValueError(f"model.times must be 2, t and t - s; got {config.model.get('times', 1)!r}")
    module = read.network(config)
    options = section(config, "objective", "times", *read.DROPS)
    return fill(
        "objective", mean_flow, options, module, noise, _times(config, noise),
        times=read.times(config, noise), shape=read.shape(config), gives=read.gives(config),
        requests=read.request(config, module, folder),
    )  # fmt: skip


def mean_flow(
    module: nn.Module,
    schedule: Schedule,
    walked: Any,
    *,
    shape: tuple[int, ...],
    times: objectives.TimeSampler,
    requests: Requests,
    gives: str = "images",
    improved: bool = False,
    power: float = 1.0,
    offset: float = 0.01,
    share_equal: float = 0.75,
) -> System:
    """Make the system.

    Args:
      module: network `(x, [t, t - s] [B, 2], Condition | None) -> u`.
      schedule: a continuous one.
      walked: times that samples are walked along, from noise to data.
      shape: of one example.
      times: `objectives.TimeSampler` without a state, of t and s alike.
      requests: what the model is asked.
      gives: "images" or "points".
      improved, power, offset: see `objectives.mean_flow`.
      share_equal: see `objectives.two_times`.

    Raises:
      ValueError: for a number out of its range, or a network with a state.
    """
    inputs = networks.inputs(shape, module)
    networks.require_params_alone(module, *inputs)
    request, solver = requests.conditioning, samplers.jump()
    rows = samplers.plan(schedule, solver, walked)
    if not isinstance(improved, bool):
        raise ValueError(f"objective.improved must be True or False, got {improved!r}")
    power, share_equal = (
        number("objective.power", power, 0),
        number("objective.share_equal", share_equal, 0, 1),
    )
    checks.positive("objective.offset", number("objective.offset", offset))
    draw = lambda key, n: times.draw(key, (), n)[0]

    def average(v, key=None):
        network = networks.of(module, v, key)
        return lambda x, t, s, cond=None: network(x, jnp.stack([t, t - s], -1), cond)

    def init(key, batch, frozen):
        del batch, frozen
        return networks.init(module, key, *networks.zeros(inputs))[0] | requests.init(key), {}

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        t, s = objectives.two_times(key_t, n, draw, share_equal)
        keep = None if request.drop is None else request.drop(key_drop, n)
        cond = request.encode(v, request.of_batch(v, key_asked, batch), keep)
        losses, _ = objectives.mean_flow(
            average(v, key_network), x0, jax.random.normal(key_eps, x0.shape, x0.dtype), schedule(t),
            schedule(s), cond, improved=improved, power=power, offset=offset,
        )  # fmt: skip
        return losses.mean(), (v.extra, {})

    def flow_map(v, key=None):
        return flow_maps.mean_flow(average(v, key))

    def denoiser(v, key=None):
        u = average(v, key)
        return prediction.reading("velocity").denoiser(lambda x, t, cond=None: u(x, t, t, cond))

    def walk(v, keys, asked, made):
        del made
        x = starts.start_of(keys, schedule, (len(keys), *shape), walked)
        return samplers.walk(keys, flow_map(v), solver, rows, x, cond=request.encode(v, asked))

    names = ("network", *jax.eval_shape(requests.init, jax.random.key(0)))
    return System(
        example={"x": jax.ShapeDtypeStruct((1, *shape), jnp.float32), **requests.example},
        init=init,
        updates=(Update("network", names, from_loss(total, names)),),
        serves=names,
        prepare=prepared(requests),
        request=request,
        passes=(Pass("jump", walk, {"network": len(walked) - 1}),),
        gives=gives,
        denoiser=denoiser,
        schedule=lambda v: schedule,
        flow_map=flow_map,
    )


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
