"""Contrastive divergence and its replay buffer, on Gaussian energies whose partition function is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers
from diffjax.objectives import contrastive_divergence, replay
from diffjax.process import energy as energies

N = 40_000


def _energy(params, x, t=None, cond=None):
    """(x - m)' A (x - m) / 2 + b with A = L L': log Z = log 2 pi - log |det L| - b."""
    m, low, b = params
    return 0.5 * (((x - m) @ low) ** 2).sum(1) + b


def _log_z(params):
    _, low, b = params
    return jnp.log(2 * jnp.pi) - jnp.linalg.slogdet(low)[1] - b


def _exact_samples(key, params, n=N):
    m, low, _ = params
    return m + jax.random.normal(key, (n, 2)) @ jnp.linalg.inv(low)


TRUTH = (jnp.array([0.5, -1.0]), jnp.array([[1.2, 0.0], [-0.4, 0.8]]), jnp.array(0.3))
OTHER = (jnp.array([0.0, -0.2]), jnp.array([[0.7, 0.1], [0.3, 1.1]]), jnp.array(-1.0))


def _gradient(params, x, x_model, **options):
    """Mean of the loss's gradients over samples, and the standard error of that mean."""
    one = lambda params, a, b: contrastive_divergence(
        lambda x, t, cond: _energy(params, x), a[None], b[None], **options
    )[0][0]
    each = jax.vmap(jax.grad(one), (None, 0, 0))(params, x, x_model)
    mean = jax.tree.map(lambda g: np.asarray(g.mean(0)), each)
    return mean, jax.tree.map(lambda g: np.asarray(g.std(0)) / np.sqrt(len(g)) + 1e-7, each)


@pytest.mark.parametrize("params", [TRUTH, OTHER], ids=["truth", "elsewhere"])
def test_gradient_with_exact_samples_is_that_of_the_likelihood(params):
    """The mean over data and exact samples is grad (E_data[E] + log Z): 0 at the truth."""
    x = _exact_samples(jax.random.key(0), TRUTH)
    mean, error = _gradient(params, x, _exact_samples(jax.random.key(1), params))
    covariance = np.linalg.inv(np.asarray(TRUTH[1] @ TRUTH[1].T))

    def negative_log_likelihood(params):  # in closed form, data in expectation
        m, low, b = params
        shift = TRUTH[0] - m
        quadratic = jnp.trace(low @ low.T @ (covariance + jnp.outer(shift, shift)))
        return 0.5 * quadratic + b + _log_z(params)

    exact = jax.grad(negative_log_likelihood)(params)
    for ours, theirs, sd in zip(mean, exact, error):
        assert (np.abs(ours - theirs) < 4.5 * sd + 1e-5).all()
        if params is TRUTH:
            np.testing.assert_allclose(theirs, 0, atol=1e-5)
        elif np.ndim(theirs):
            assert np.abs(theirs).max() > 40 * np.max(sd)


def test_loss_and_regularization(x64):
    x, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 2)))
    e = lambda x, t, cond: _energy(OTHER, x) * t + cond
    t, cond = jnp.linspace(0.5, 1.5, 5), jnp.arange(5.0)
    loss, aux = contrastive_divergence(e, x, y, t, cond, regularization=0.1)
    real, model = (_energy(OTHER, each) * t + cond for each in (x, y))
    np.testing.assert_allclose(loss, real - model + 0.1 * (real**2 + model**2), rtol=1e-12)
    np.testing.assert_allclose(aux["energy_model"], model, rtol=1e-12)
    slope = jax.grad(lambda y: contrastive_divergence(e, x, y, t, cond, regularization=0.1)[0].sum())(y)
    np.testing.assert_array_equal(slope, 0)  # samples are not moved by the loss


def test_vector_energies_are_refused():
    with pytest.raises(ValueError, match="an energy must give one number for each sample"):
        contrastive_divergence(lambda x, t, cond: x, jnp.ones((3, 2)), jnp.ones((3, 2)))


def test_cd_k_from_exact_samples_stays_exact_in_mean():
    """Starts from the model: k Langevin steps leave them nearly there, so at the truth the gradient is small,
    while chains from far away that are too short are not the model's."""
    params, x = TRUTH, _exact_samples(jax.random.key(2), TRUTH)
    score = energies.score(lambda x, t, cond: _energy(params, x))
    chains = samplers.short_run(jax.random.key(3), score, x, num_steps=10, step_size=0.005)
    mean, error = _gradient(params, _exact_samples(jax.random.key(4), TRUTH), chains)
    # discretization moves the precision A by A^2 step / 2, so the gradients by about that and no more
    for gradient, sd in zip(mean, error):
        assert (np.abs(gradient) < 4.5 * sd + 0.01).all()
    lost = samplers.short_run(jax.random.key(3), score, x + 3, num_steps=10, step_size=0.005)
    assert np.abs(_gradient(params, x, lost)[0][0]).max() > 1


def test_share_of_the_buffer_and_places():
    buffer = jnp.arange(5000.0)[:, None, None] * jnp.ones((1, 3, 1))
    fresh = -1 - jnp.arange(4000.0)[:, None, None] * jnp.ones((1, 3, 1))
    x, places = replay.draw(jax.random.key(0), buffer, fresh)
    assert x.shape == (4000, 3, 1) and len(np.unique(places)) == 4000
    kept = np.asarray(x[:, 0, 0]) >= 0
    assert abs(kept.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)
    np.testing.assert_array_equal(x[kept], buffer[places][kept])
    np.testing.assert_array_equal(x[~kept], fresh[~kept])
    after = replay.put(buffer, places, x + 0.5)
    assert after.shape == buffer.shape and after.dtype == buffer.dtype
    np.testing.assert_array_equal(after[places], x + 0.5)
    others = np.setdiff1d(np.arange(5000), places)
    np.testing.assert_array_equal(after[others], buffer[others])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_none_of_the_buffer(share):
    x, places = replay.draw(jax.random.key(1), jnp.arange(8.0), -jnp.ones(8), share)
    np.testing.assert_array_equal(x, jnp.arange(8.0)[places] if share else -jnp.ones(8))


def test_buffer_refusals():
    with pytest.raises(ValueError, match="must hold a batch of 3 chains, got 2"):
        replay.draw(jax.random.key(0), jnp.zeros((2, 1)), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], got 95"):
        replay.draw(jax.random.key(0), jnp.zeros((5, 1)), jnp.zeros((3, 1)), 95)


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"x_model must be a float array .*, got float32\[1, 2\]; x has"):
        contrastive_divergence(lambda x, t, cond: x.sum(1), jnp.ones((3, 2)), jnp.ones((1, 2)))
