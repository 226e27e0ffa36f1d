"""Partition functions by quadrature, against closed forms."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax.evaluation import quadrature

TILTED = mixtures.tilted()
BOX = np.array([[-5.0, 5.0], [-6.0, 4.0]])


def test_log_z_of_a_shifted_log_density(x64):
    """E = c - log p: log Z = -c, and the nll is -log p."""
    e = lambda x: 2.5 - TILTED.log_prob(x)
    found = quadrature.partition(e, BOX)
    np.testing.assert_allclose(found.log_z, -2.5, atol=1e-8)
    assert found.edge < 1e-8
    x = TILTED.sample(jax.random.key(0), 10)
    np.testing.assert_allclose(quadrature.nll(e, x, found), -TILTED.log_prob(x), atol=1e-8)


def test_the_line_and_odd_chunks(x64):
    found = quadrature.partition(lambda x: x[:, 0] ** 4, [[-4, 4]], points=301, batch=100)
    np.testing.assert_allclose(found.log_z, np.log(2 * 0.9064024770554770779), rtol=1e-10)  # 2 Gamma(5/4)


def test_gradient_of_log_z_is_minus_the_mean_gradient_of_the_energy():
    """grad log Z = -E_p[grad E], the mean over exact samples: E of a mixture with parameters (m, log s)."""

    def e(params, x):
        m, log_s = params
        far = ((x[:, None] - m) ** 2).sum(-1) / 2
        return -jax.nn.logsumexp(jnp.log(jnp.array([0.3, 0.7])) - far * jnp.exp(-2 * log_s), axis=1)

    params = jnp.array([[-1.0, 0.5], [1.0, 0.0]]), jnp.array([-0.5, -0.2])
    log_z = lambda p: quadrature.partition(lambda x: e(p, x), BOX, points=150).log_z
    slope = jax.jit(jax.grad(log_z))(params)
    # exact samples: component weights 0.3 s^2, 0.7 s^2
    n, keys = 60_000, jax.random.split(jax.random.key(1))
    k = jax.random.categorical(keys[0], jnp.log(jnp.array([0.3, 0.7])) + 2 * params[1], shape=(n,))
    x = params[0][k] + jnp.exp(params[1][k])[:, None] * jax.random.normal(keys[1], (n, 2))
    each = jax.jit(jax.vmap(jax.grad(lambda p, x: e(p, x[None])[0]), (None, 0)))(params, x)
    for exact, sampled in zip(slope, each):
        error = sampled.std(0) / np.sqrt(n)
        assert (np.abs(exact + sampled.mean(0)) < 4.5 * error + 1e-4).all()
    # log Z = log sum w_k 2 pi s_k^2: the shifts do nothing
    np.testing.assert_allclose(slope[0], 0, atol=1e-4)
    weights = np.array([0.3, 0.7]) * np.exp(2 * np.asarray(params[1]))
    np.testing.assert_allclose(slope[1], 2 * weights / weights.sum(), rtol=1e-4)


def test_a_box_that_is_too_small_shows():
    found = quadrature.partition(lambda x: 0 * x[:, 0], [[0, 1], [0, 2]], points=10)
    np.testing.assert_allclose(found.log_z, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found.edge, 0.36, rtol=1e-5)


@pytest.mark.parametrize(
    ("e", "box", "message"),
    [
        (lambda x: x, BOX, "an energy must give one number for each point"),
        (lambda x: x[:, 0], [[1, 1]], "box must have least < largest"),
        (lambda x: x[:, 0], [0, 1], r"box must be \[D, 2\]"),
        (lambda x: x[:, 0], [[0, 1]] * 3, r"box must be \[D, 2\]"),
    ],
)
def test_refusals(e, box, message):
    with pytest.raises(ValueError, match=message):
        quadrature.partition(e, box, points=4)
