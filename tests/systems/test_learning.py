"""What a shipped config learns, end to end."""

import pathlib

import jax
import numpy as np
import pytest

from diffjax import commands, systems, toys, train
from diffjax.data.toys import ring8
from diffjax.evaluation.wasserstein import sliced_wasserstein

CONFIG = pathlib.Path(__file__).parents[2] / "configs/toys/ddpm.py"
NUM = 10_000


@pytest.mark.slow
def test_ring_of_unequal_weights_is_learned(tmp_path):
    config = commands.config_module(CONFIG).get_config("ring8")
    config.training.num_steps = config.training.sample_every = config.training.checkpoint_every = 2500
    state = train.train(config, tmp_path / "run", progress=False)
    system = systems.build(config)
    frozen = system.init(jax.random.key(0))[2]
    sample = jax.jit(system.sample, static_argnums=5)
    x = np.asarray(sample(state.ema, state.extra, frozen, jax.random.key(1), None, NUM))

    (fresh, _), (other, _) = (ring8(np.random.default_rng(seed), NUM) for seed in (100, 101))
    distance = lambda points: sliced_wasserstein(points, fresh, np.random.default_rng(0))
    print("DIST", distance(x), distance(other))
    assert distance(x) <= 1.5 * distance(other)
    weights, means, _ = toys.ring8()
    nearest = ((x[:, None] - means) ** 2).sum(-1).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=len(means)) / NUM, weights, rtol=0, atol=0.02)
