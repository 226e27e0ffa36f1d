"""The timed work in diffjax, as its own commands do it."""

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.networks import (
    BATCH,
    CHAIN,
    CLIP_NORM,
    DDIM_STEPS,
    EMA_DECAY,
    LEARNING_RATE,
    TRAIN_STEPS,
)
from diffjax import guidance, models, samplers
from diffjax.process import prediction, schedules
from diffjax.systems import read
from diffjax.systems.ddpm import ddpm
from diffjax.training import ema, optimizer, sharding
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training.system import Variables

VARIANTS = {"1 device": 1, "2 devices": 2}


def unet(network):
    """Return diffjax's U-Net of this shape."""
    first = network.widths[0]
    return models.UNet(
        model_channels=first,
        channel_mult=tuple(width / first for width in network.widths),
        num_res_blocks=network.blocks,
        attention_resolutions=(2 ** (len(network.widths) - 1),),
        num_groups=network.groups,
    )


def system(network, module=None):
    """Return DDPM with the linear chain, 50 DDIM steps and x_0 kept in [-1, 1]."""
    times = samplers.grids.spaced(CHAIN, f"ddim{DDIM_STEPS}")
    return ddpm(
        module or unet(network),
        schedules.linear_beta(CHAIN),
        read.Sampler(samplers.ddim(), times, 0.0, guidance.clip(keep_eps=True), DDIM_STEPS),
        shape=(network.size, network.size, network.channels),
        reading=prediction.reading("eps"),
    )


def train(network, variant):
    """Return a function that makes training steps, and the number of them.

    A step is a whole one: batch to the devices, noise, loss, gradient, clipping, AdamW, moving average.
    """
    mesh = _mesh(variant)
    rule, key = sharding.fsdp(mesh), jax.random.key(0)
    adamw = optimizer.make("adamw", LEARNING_RATE, clip_norm=CLIP_NORM)
    images = system(network)
    places = states.abstract(images, adamw, images.example, {}, mesh, rule)
    state = states.create(
        images, adamw, key, {"x": np.zeros((1, *images.example["x"].shape[1:]))}, {}, places
    )
    step = steps.compiled(steps.make(images, adamw, ema.constant(EMA_DECAY)), places)
    shape = (BATCH, network.size, network.size, network.channels)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def run():
        nonlocal state
        for _ in range(TRAIN_STEPS):
            state, metrics = step(state, {}, key, sharding.put_batch(mesh, {"x": x}))
        jax.block_until_ready((state, metrics))

    return run, TRAIN_STEPS


def sample(network, variant):
    """Return a function that draws a batch of images, and the number of batches."""
    mesh = _mesh(variant)
    images = system(network)
    begin = jax.jit(lambda key: images.init(key, images.example, {}), out_shardings=NamedSharding(mesh, P()))
    variables = Variables(*begin(jax.random.key(0)))
    keys = jax.device_put(
        jax.random.split(jax.random.key(1), BATCH), NamedSharding(mesh, P(sharding.BATCH_AXES))
    )
    draw = jax.jit(lambda variables, keys: images.sample(variables, keys, {}, BATCH))
    return lambda: np.asarray(draw(variables, keys)), 1


def versions():
    """Return the libraries and their versions."""
    from diffjax.version import __version__

    return {"diffjax": __version__, "jax": jax.__version__}


def _mesh(variant):
    jax.config.update("jax_num_cpu_devices", VARIANTS[variant])
    return sharding.make_mesh()
