"""50 DDIM steps of one network by FlaxDiff's sampler, and by ours: `python -m benchmarks.flaxdiff 5`.

Wants `pip install --no-deps flaxdiff==0.2.11 einops`. FlaxDiff is given our U-Net and its parameters, so that
the two differ in the sampler alone: a loop in Python about a compiled network there, one compiled program
here. They take turns on one device; prints a line of JSON for each U-Net.
"""

from types import SimpleNamespace

import jax
import numpy as np
from flaxdiff.predictors import EpsilonPredictionTransform
from flaxdiff.samplers.ddim import DDIMSampler
from flaxdiff.schedulers import LinearNoiseSchedule

from benchmarks import ours, turns
from benchmarks.networks import BATCH, CHAIN, DDIM_STEPS, NETWORKS


def theirs(network):
    """Return a function that draws a batch of images with FlaxDiff."""
    module = ours.unet(network)
    x = jax.random.normal(jax.random.key(0), (BATCH, network.size, network.size, network.channels))
    params = jax.jit(module.init)(jax.random.key(1), x, np.ones(BATCH, np.float32))
    nothing = SimpleNamespace(get_unconditionals=list)
    sampler = DDIMSampler(module, LinearNoiseSchedule(CHAIN), EpsilonPredictionTransform(), nothing)
    draw = lambda: sampler.generate_samples(params, BATCH, network.size, diffusion_steps=DDIM_STEPS, priors=x)
    return lambda: np.asarray(draw())


def measure(name, rounds):
    """Time both, so many rounds: dict of JSON data."""
    network = NETWORKS[name]
    walks = {"ours": ours.sample(network, "1 device")[0], "flaxdiff": theirs(network)}
    return {"network": name, **turns.seconds(walks, rounds)}


if __name__ == "__main__":
    turns.of_each_unet(measure)
