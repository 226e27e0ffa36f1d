"""The timed work in diffjax, as its own commands do it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.networks import (
    BATCH,
    CHAIN,
    CLIP_NORM,
    DDIM_STEPS,
    EMA_DECAY,
    FORWARDS,
    LEARNING_RATE,
    TRAIN_STEPS,
    Transformer,
    dit_arguments,
)
from diffjax import guidance, models, samplers
from diffjax.pretrained import diffusers_dit
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


class FirstClass(nn.Module):
    """A network that is asked for the first of its classes."""

    network: nn.Module

    @nn.compact
    def __call__(self, x, t, cond=None, *, train=False):
        """Apply it."""
        del cond
        return self.network(x, t, jnp.zeros(len(x), jnp.int32), train=train)


def dit(network):
    """Return diffjax's DiT of this shape, built as diffusers' is."""
    return diffusers_dit.build(dit_arguments(network))


def module(network):
    """Return a network that takes (x, t, None)."""
    return FirstClass(dit(network)) if isinstance(network, Transformer) else unet(network)


def system(network):
    """Return DDPM with the linear chain, 50 DDIM steps and x_0 kept in [-1, 1]."""
    times = samplers.grids.spaced(CHAIN, f"ddim{DDIM_STEPS}")
    return ddpm(
        module(network),
        schedules.linear_beta(CHAIN),
        read.Sampler(samplers.ddim(), times, 0.0, guidance.clip(keep_eps=True), DDIM_STEPS),
        shape=(network.size, network.size, network.channels),
        reading=prediction.reading("eps"),
    )


def train(network, variant):
    """Return a function that makes training steps, and the number of them.

    A step is a whole one: batch to the devices, noise, loss, gradient, clipping, AdamW, moving average.
    """
    mesh, key = _mesh(variant), jax.random.key(0)
    step, _, create, batch = _training(network, mesh)
    state = create()
    x = np.random.default_rng(0).uniform(-1, 1, batch.shape).astype(np.float32)

    def run():
        nonlocal state
        for _ in range(TRAIN_STEPS):
            state, metrics = step(state, {}, key, sharding.put_batch(mesh, {"x": x}))
        jax.block_until_ready((state, metrics))

    return run, TRAIN_STEPS


def traced(network, variant):
    """Return the training step, traced."""
    return traced_on(network, _mesh(variant))


def traced_on(network, mesh):
    """Return the training step, traced for a mesh."""
    step, places, _, batch = _training(network, mesh)
    return step.trace(places, {}, jax.random.key(0), {"x": batch})


def _training(network, mesh):
    """Return the step, the state's shapes, what creates it, and a batch's shape."""
    rule, key, images = sharding.fsdp(mesh), jax.random.key(0), system(network)
    adamw = optimizer.make("adamw", LEARNING_RATE, clip_norm=CLIP_NORM)
    shape = (BATCH, network.size, network.size, network.channels)
    batch = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, P(sharding.BATCH_AXES)))
    places = states.abstract(images, adamw, images.example, {}, mesh, rule)
    first = {"x": np.zeros((1, *shape[1:]), np.float32)}
    create = lambda: states.create(images, adamw, key, first, {}, places)
    return steps.compiled(steps.make(images, adamw, ema.constant(EMA_DECAY)), places), places, create, batch


def forward(network, variant):
    """Return a function that calls the network without gradients, and the number of calls."""
    mesh, made = _mesh(variant), module(network)
    rows, whole = NamedSharding(mesh, P(sharding.BATCH_AXES)), NamedSharding(mesh, P())
    x = jax.random.normal(jax.random.key(0), (BATCH, network.size, network.size, network.channels))
    x, t = jax.device_put((x, jax.random.uniform(jax.random.key(1), (BATCH,), maxval=CHAIN)), rows)
    params = jax.jit(made.init, out_shardings=whole)(jax.random.key(2), x, t)
    call = jax.jit(made.apply)

    def run():
        for _ in range(FORWARDS):
            jax.block_until_ready(call(params, x, t))

    return run, FORWARDS


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


@functools.cache
def _mesh(variant):
    jax.config.update("jax_num_cpu_devices", VARIANTS[variant])
    return sharding.make_mesh()
