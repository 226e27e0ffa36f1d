"""What the tests of systems share: variables, gradients and samples of a system at hand."""

import atexit
import functools
import pathlib
import shutil
import tempfile

import jax
import numpy as np

from diffjax import commands, samplers, train
from diffjax.systems import read
from diffjax.training.system import Variables

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NARROW = {"mlp": {"width": 8, "depth": 1}, "flow": {"steps": 2, "features": 8}}


def sampler(schedule, solver, times, **options):
    """Return a read.Sampler without guidance or threshold."""
    options = {"guidance_weight": 0.0, "threshold": None} | options
    times = np.asarray(times)
    calls = 0 if schedule is None else samplers.network_calls(solver, samplers.plan(schedule, solver, times))
    return read.Sampler(solver, times, calls=calls, **options)


def variables(system, key=0, **params):
    """Return the variables at initialisation, with the "network" replaced where it is given."""
    frozen = system.prepare(None)[0] if system.frozen else {}
    params_, extra = system.init(jax.random.key(key), system.example, frozen)
    return Variables({**params_, **params}, extra, frozen)


def gradients(system, v, key, batch):
    """Return the gradients of a lone update, extra and metrics."""
    return jax.jit(system.updates[0].gradients)(v, key, batch, 0)


def sample(system, v, key, n, request=None):
    return np.asarray(jax.jit(system.sample, static_argnums=3)(v, key, request or {}, n))


def tiny(name, **overrides):
    """Return a shipped config made small: three steps of training, few of sampling, a narrow network."""
    config = commands.config_module(CONFIGS / f"{name}.py").get_config()
    for part in ("model", "discriminator"):
        if part in config:
            config[part].update(NARROW.get(config[part].name, {}))
    if "teacher" in config:
        config.teacher.workdir = str(teacher("num_classes" in config.data))
    if "steps" in config.get("sampler", {}):
        config.sampler.steps = 3
    for each in [config.optimizer] if "name" in config.optimizer else config.optimizer.values():
        each.warmup_steps = 1  # one section, or one an update
    config.data.num_examples = 64
    config.training.update(
        {"num_steps": 3, "batch_size": 8, "log_every": 1, "checkpoint_every": 3, "sample_every": 0}
    )
    return commands.overridden(config, overrides)


def on_eight_devices(tree, rows):
    """Return a tree on all devices: its rows split, or a copy on each."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    axes = jax.sharding.PartitionSpec("data") if rows else jax.sharding.PartitionSpec()
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, axes))


@functools.cache
def trained():
    """Return the folder of a tiny run on points; nothing may be changed there."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    train.train(tiny("toys/ddpm"), folder / "run", progress=False)
    return folder / "run"


@functools.cache
def teacher(labelled=False):
    """Return the folder of a tiny run on points, of a network of v, for students; perhaps with a null."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cosine = {"schedule.name": "vp_cosine", "objective.kind": "v", "objective.times": "uniform"}
    config = tiny("toys/flow", **cosine)
    if labelled:
        config.data.num_classes, config.model.num_classes, config.objective.label_dropout = 8, 9, 0.1
    train.train(config, folder / "teacher", progress=False)
    return folder / "teacher"
