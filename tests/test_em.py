"""EM against scikit-learn's, and as coordinate ascent of the bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from diffjax import em, exact

TRUTH = exact.gaussian_mixture([1, 2, 3], [[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]], [0.2, 0.4, 0.1])


@pytest.fixture(scope="module")
def points():
    with jax.enable_x64(True):
        return jnp.asarray(np.asarray(TRUTH.sample(jax.random.key(0), 500)), jnp.float64)


def test_steps_are_scikit_learns(x64, points):
    start = em.begin(jax.random.key(1), points, 3)
    precisions = np.linalg.inv(np.asarray(start.covariances))
    for steps in (1, 7):
        other = GaussianMixture(
            3, tol=0, reg_covar=1e-3, max_iter=steps, weights_init=start.weights, means_init=start.means,
            precisions_init=precisions,
        )  # fmt: skip
        with pytest.warns(Warning, match="did not converge"):
            other.fit(points)
        ours, bounds = em.fit(start, points, steps, floor=1e-3)
        for one, two in zip(ours, (other.weights_, other.means_, other.covariances_)):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(bounds[-1], other.lower_bound_, rtol=1e-9)


def test_the_bound_never_falls_and_touches_the_likelihood(x64, points):
    now, told = em.begin(jax.random.key(2), points, 3), []
    r = jnp.full((len(points), 3), 1 / 3)
    for _ in range(30):
        told.append(em.elbo(now, points, r))
        r = em.responsibilities(now, points)
        told.append(em.elbo(now, points, r))
        likelihood = exact.gaussian_mixture(*map(np.asarray, now)).log_prob(points).mean()
        np.testing.assert_allclose(told[-1], likelihood, rtol=1e-9)
        now = em.maximised(points, r)
    told.append(em.elbo(now, points, r))
    assert (np.diff(told) > -1e-12).all()
    gap = told[-1] - TRUTH.log_prob(points).mean()
    assert 0 < gap < 17 / 2 / 500 * 3  # 17 parameters: half a chi^2 of 17 degrees over N


def test_the_e_step_is_the_best_of_any(x64, points):
    now = em.begin(jax.random.key(3), points, 3)
    best = em.responsibilities(now, points)
    other = jax.nn.softmax(jnp.log(best) + 0.1 * jax.random.normal(jax.random.key(4), best.shape))
    gap = em.elbo(now, points, best) - em.elbo(now, points, other)
    divergence = (other * jnp.log(other / best)).sum(1).mean()
    np.testing.assert_allclose(gap, divergence, rtol=1e-9)


def test_what_cannot_be_is_refused(points):
    with pytest.raises(ValueError, match="components must be at most the 500 points, got 501"):
        em.begin(jax.random.key(0), jnp.asarray(points, jnp.float32), 501)
    with pytest.raises(ValueError, match="floor must be finite and at least 0"):
        em.maximised(jnp.ones((3, 1)), jnp.ones((3, 1)), floor=-1.0)


@pytest.mark.filterwarnings("error")
def test_what_does_not_vary_needs_a_floor(x64):
    """A constant direction, as a picture's corner is, and a component that nothing belongs to."""
    x = jnp.stack([jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.ones(4)], axis=1)
    start = em.begin(jax.random.key(0), x, 2, floor=1e-3)
    found, bound = em.fit(start, x, 5, floor=1e-3)
    np.testing.assert_allclose(np.sort(found.means[:, 0]), [-1, 1], atol=1e-9)
    np.testing.assert_allclose(found.covariances, 1e-3 * np.tile(np.eye(2), (2, 1, 1)), atol=1e-9)
    assert np.isfinite(bound).all()
    with pytest.raises(ValueError, match="floor must be larger, got 0: after 0 steps"):
        em.fit(em.begin(jax.random.key(0), x, 2), x, 5)
    empty = em.maximised(x, jnp.array([[1.0, 0.0]] * 4))
    np.testing.assert_allclose(empty.means, [[0, 1], [0, 1]], atol=1e-9)
    np.testing.assert_allclose(empty.weights, [1, 0], atol=1e-9)
