"""50 DDIM steps and training steps of one network, by FlaxDiff and by us: `python -m benchmarks.flaxdiff 5`.

Wants `pip install --no-deps flaxdiff==0.2.11 einops clu wrapt termcolor`. FlaxDiff is given our U-Net, its
parameters and the optimizer: the two differ in what is about them. Its sampler is a loop in Python about one
compiled network, ours is one compiled program; a step is that on both sides. They take turns on one device;
prints a line of JSON for each U-Net.
"""

import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from flaxdiff.inputs import DiffusionInputConfig
from flaxdiff.predictors import EpsilonPredictionTransform
from flaxdiff.samplers.ddim import DDIMSampler
from flaxdiff.schedulers import LinearNoiseSchedule
from flaxdiff.trainer import GeneralDiffusionTrainer, Metrics, TrainState
from flaxdiff.utils import RandomMarkovState

from benchmarks import ours, turns
from benchmarks.networks import (
    BATCH,
    CHAIN,
    CLIP_NORM,
    DDIM_STEPS,
    EMA_DECAY,
    LEARNING_RATE,
    NETWORKS,
    TRAIN_STEPS,
)
from diffjax.training import optimizer


def _begun(network):
    """Return our U-Net, its parameters, and what FlaxDiff wants to know of its inputs."""
    module = ours.unet(network)
    shape = (network.size, network.size, network.channels)
    x = np.zeros((BATCH, *shape), np.float32)
    params = jax.jit(module.init)(jax.random.key(1), x, np.ones(BATCH, np.float32))
    return module, params, DiffusionInputConfig("image", shape, [])


def sample(network):
    """Return a function that draws a batch of images with FlaxDiff."""
    module, params, inputs = _begun(network)
    sampler = DDIMSampler(module, LinearNoiseSchedule(CHAIN), EpsilonPredictionTransform(), inputs)
    x = jax.random.normal(jax.random.key(0), (BATCH, *inputs.sample_data_shape))
    draw = lambda: sampler.generate_samples(params, BATCH, network.size, diffusion_steps=DDIM_STEPS, priors=x)
    return lambda: np.asarray(draw())


def train(network):
    """Return a function that makes as many training steps with FlaxDiff as that of `ours.train`."""
    module, params, inputs = _begun(network)
    trainer = SimpleNamespace(  # its own makes folders, and asks for a data set
        model=module, noise_schedule=LinearNoiseSchedule(CHAIN), loss_fn=lambda made, eps: (made - eps) ** 2,
        model_output_transform=EpsilonPredictionTransform(), unconditional_prob=0.0, ema_decay=EMA_DECAY,
        input_config=inputs, distributed_training=False, autoencoder=None,
    )  # fmt: skip
    step = GeneralDiffusionTrainer._define_train_step(trainer, BATCH)  # pyright: ignore[reportArgumentType]
    adamw = optimizer.make("adamw", LEARNING_RATE, clip_norm=CLIP_NORM)
    state = TrainState.create(
        apply_fn=module.apply, params=params, ema_params=params, tx=adamw, rngs=jax.random.key(2),
        metrics=Metrics.empty(), dynamic_scale=None,
    )  # fmt: skip
    key = RandomMarkovState(jax.random.key(3))
    x = np.random.default_rng(0).uniform(0, 255, (BATCH, *inputs.sample_data_shape)).astype(np.float32)

    def run():
        nonlocal state, key
        for _ in range(TRAIN_STEPS):
            state, loss, key = step(state, key, {"image": jnp.asarray(x)}, jnp.zeros(1, jnp.int32))
        jax.block_until_ready((state.params, loss))

    return run


def measure(name, rounds):
    """Time both by the processor, which others disturb less, so many rounds: dict of JSON data."""
    network = NETWORKS[name]
    walks = {"ours": ours.sample(network, "1 device")[0], "theirs": sample(network)}
    steps = {"ours": ours.train(network, "1 device")[0], "theirs": train(network)}
    sides = {"walk": walks, "train": steps}
    told = {work: turns.seconds(each, rounds, time.process_time) for work, each in sides.items()}
    return {"network": name, "steps": TRAIN_STEPS, **told}


if __name__ == "__main__":
    turns.of_each_unet(measure)
