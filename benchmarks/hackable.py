"""50 DDIM steps of one network, by hackable_diffusion and by us: `python -m benchmarks.hackable 5`.

Wants `pip install --no-deps --ignore-requires-python hackable_diffusion==1.0.1 kauldron typeguard lark einops
immutabledict`: it asks for Python 3.12, and its samplers run with 3.11. It is given our U-Net; both are one
compiled program, a scan over the steps. Its training is kauldron's, which brings TensorFlow, and is left out.
They take turns on one device; prints a line of JSON for each U-Net.
"""

import time

import jax
import numpy as np
from hackable_diffusion.lib.corruption.gaussian import GaussianProcess
from hackable_diffusion.lib.corruption.schedules import LinearDiffusionSchedule
from hackable_diffusion.lib.sampling.gaussian_step_sampler import DDIMStep
from hackable_diffusion.lib.sampling.sampling import DiffusionSampler
from hackable_diffusion.lib.sampling.time_scheduling import UniformTimeSchedule

from benchmarks import ours, turns
from benchmarks.networks import BATCH, CHAIN, DDIM_STEPS, NETWORKS


def sample(network):
    """Return a function that draws a batch of images with hackable_diffusion."""
    module = ours.unet(network)
    x = jax.random.normal(jax.random.key(0), (BATCH, network.size, network.size, network.channels))
    params = jax.jit(module.init)(jax.random.key(1), x, np.ones(BATCH, np.float32))
    process = GaussianProcess(schedule=LinearDiffusionSchedule())
    walk = DiffusionSampler(
        time_schedule=UniformTimeSchedule(), stepper=DDIMStep(corruption_process=process, stoch_coeff=0.0),
        num_steps=DDIM_STEPS + 1, store_trajectory=False,  # it counts times, of which steps are between
    )  # fmt: skip

    @jax.jit
    def draw(params, key, x):
        def predict(time, xt, conditioning):
            del conditioning
            return {"epsilon": module.apply(params, xt, CHAIN * time[:, 0, 0, 0])}

        return walk(predict, key, x, None)[0].xt

    return lambda: np.asarray(draw(params, jax.random.key(2), x))


def measure(name, rounds):
    """Time both by the processor, which others disturb less, so many rounds: dict of JSON data."""
    network = NETWORKS[name]
    walks = {"ours": ours.sample(network, "1 device")[0], "theirs": sample(network)}
    return {"network": name, "walk": turns.seconds(walks, rounds, time.process_time)}


if __name__ == "__main__":
    turns.of_each_unet(measure)
