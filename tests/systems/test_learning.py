"""What a shipped config learns, end to end."""

import pathlib

import jax
import numpy as np
import pytest

from diffjax import commands, toys, train
from diffjax.data.toys import ring8
from diffjax.evaluation.wasserstein import sliced_wasserstein

CONFIG = pathlib.Path(__file__).parents[2] / "configs/toys/ddpm.py"
NUM = 10_000


@pytest.mark.slow
def test_ring_of_unequal_weights_is_learned(tmp_path):
    config = commands.config_module(CONFIG).get_config("ring8")
    config.training.sample_every = config.training.checkpoint_every = config.training.num_steps
    train.train(config, tmp_path / "run", progress=False)
    system, variables, _ = commands.load(tmp_path / "run")
    x = np.asarray(jax.jit(system.sample, static_argnums=3)(variables, jax.random.key(1), {}, NUM))

    points = [ring8(np.random.default_rng(seed), NUM)[0] for seed in range(100, 108)]
    distance = lambda a, b: sliced_wasserstein(a, b, np.random.default_rng(0))
    floor = np.mean([distance(a, b) for a, b in zip(points[::2], points[1::2])])
    assert np.mean([distance(x, fresh) for fresh in points]) <= 1.5 * floor
    weights, means, _ = toys.ring8()
    nearest = ((x[:, None] - means) ** 2).sum(-1).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=len(means)) / NUM, weights, rtol=0, atol=0.02)
