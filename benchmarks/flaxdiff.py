"""50 DDIM steps of one network by FlaxDiff's sampler, and by ours: `python -m benchmarks.flaxdiff 5`.

Wants `pip install --no-deps flaxdiff==0.2.11 einops`. FlaxDiff is given our U-Net and its parameters, so that
the two differ in the sampler alone: a loop in Python about a compiled network there, one compiled program
here. They take turns on one device; prints a line of JSON for each U-Net.
"""

import json
import os
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
from flaxdiff.predictors import EpsilonPredictionTransform
from flaxdiff.samplers.ddim import DDIMSampler
from flaxdiff.schedulers import LinearNoiseSchedule

from benchmarks import ours
from benchmarks.networks import BATCH, CHAIN, DDIM_STEPS, NETWORKS, THREADS, Network


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
    spent = {side: [] for side in walks}
    for i in range(rounds + 1):
        for side, walk in walks.items():
            begin = time.perf_counter()
            walk()
            if i:  # the first ones compiled
                spent[side].append(time.perf_counter() - begin)
    return {"network": name, **spent}


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name, network in NETWORKS.items():
        if isinstance(network, Network):
            print(json.dumps(measure(name, int(sys.argv[1]))), file=replies, flush=True)
