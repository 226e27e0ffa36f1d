"""Distribution matching where both laws are Gaussian: the gradient is that of their divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mixtures import hermite

from diffjax import exact, objectives
from diffjax.objectives import weightings
from diffjax.process import schedules

NODES, WEIGHTS = hermite(24)
M, V = 0.4, 0.3  # of the data


def law(m, v):
    return exact.gaussian_mixture([1.0], [[m]], [v]).denoiser()


@pytest.mark.parametrize("schedule", [schedules.edm(), schedules.vp_cosine()], ids=["edm", "cosine"])
def test_the_gradient_is_that_of_the_divergence(x64, schedule):
    """Of KL(q_t, p_t) in mean and deviation of a generator m + s z, by quadrature over z and noise."""
    level = schedule.at_ratio(np.float64(0.8))
    z, eps = (a.reshape(-1, 1) for a in np.meshgrid(NODES, NODES))
    weight = np.outer(WEIGHTS, WEIGHTS).ravel()

    def loss(theta, fake):
        x = theta[0] + theta[1] * z
        rows, _ = objectives.distribution_matching(x, eps, level, law(M, V), fake, weighting=weightings.snr())
        return (weight * rows).sum()

    def divergence(theta):
        total = lambda v: level.alpha**2 * v + level.sigma**2
        made, data = total(theta[1] ** 2), total(V)
        apart = level.alpha**2 * (theta[0] - M) ** 2
        return 0.5 * (jnp.log(data / made) + (made + apart) / data - 1)

    at = jnp.array([-0.2, 0.9])
    found, wanted = jax.jit(lambda: (jax.grad(loss)(at, law(-0.2, 0.81)), jax.grad(divergence)(at)))()
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    there = jax.jit(jax.grad(loss), static_argnums=1)(jnp.array([M, np.sqrt(V)]), law(M, V))
    np.testing.assert_allclose(there, 0, atol=1e-12)


def test_the_weight_is_the_paper_s_and_only_x_has_a_gradient():
    x, eps = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    level = schedules.edm()(1.0)

    def loss(x, shift, fake_shift):
        says = lambda by: lambda x_t, level, cond=None: law2(x_t, level)._replace(x0=x_t + by)
        law2 = exact.gaussian_mixture([1.0], [[M, M]], [V]).denoiser()
        rows, aux = objectives.distribution_matching(x, eps, level, says(shift), says(fake_shift))
        return rows.sum(), aux

    (of_x, of_real, of_fake), aux = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(jnp.asarray(x), 0.3, 0.8)
    assert of_real == of_fake == 0
    by_hand = 0.5 / np.abs(x - (x + eps + 0.3)).mean(1, keepdims=True) * np.ones_like(x)
    np.testing.assert_allclose(aux["gradient"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(of_x, by_hand / 2, rtol=1e-5)
