"""Energies read as score networks."""

import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax.process import energy, prediction, schedules

TILTED = mixtures.tilted()
EDM = schedules.edm()


def _negative_log_density(x, t, cond):
    """The energy of the tilted mixture at noise level sigma = t, up to a constant."""
    return 3.0 - TILTED.log_prob(x, EDM(t))


def test_score_of_a_negative_log_density_is_the_exact_score(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2)))
    t = jnp.linspace(0.1, 3.0, 6)
    score = energy.score(_negative_log_density)(x, t)
    np.testing.assert_allclose(score, TILTED.score(x, EDM(t)), rtol=1e-10)


@pytest.mark.parametrize("schedule", [EDM, schedules.rectified_flow()])
def test_an_energy_is_a_denoiser(x64, schedule):
    """kind "score": x_0 is Tweedie's, eps = sigma grad E."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(6, 2)))
    level = schedule(np.linspace(0.1, 0.9, 6))
    e = lambda x, t, cond: -TILTED.log_prob(x, schedule(t))
    read = prediction.denoiser(energy.score(e), "score")(x, level)
    truth = TILTED.predict(x, level)
    np.testing.assert_allclose(read.x0, truth.x0, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(read.eps, truth.eps, rtol=1e-9, atol=1e-12)


def test_conditions_reach_the_energy():
    e = lambda x, t, cond: cond * (x**2).sum((1, 2, 3)) / 2
    x = jnp.ones((2, 3, 3, 1))
    score = energy.score(e)(x, jnp.zeros(2), jnp.array([1.0, 4.0]))
    np.testing.assert_array_equal(score, -np.array([1.0, 4.0])[:, None, None, None] * np.ones((2, 3, 3, 1)))


@pytest.mark.parametrize("e", [lambda x, t, cond: x, lambda x, t, cond: x[:, :1], lambda x, t, cond: x.sum()])
def test_only_one_number_for_each_sample_is_an_energy(e):
    with pytest.raises(ValueError, match=r"one number for each sample, shape \[3\] for x \[3, 2\]; got"):
        energy.score(e)(jnp.ones((3, 2)), jnp.zeros(3))
