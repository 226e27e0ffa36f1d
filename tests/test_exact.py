"""The closed forms of `exact` against quadrature, differentiation and counting."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import stats

from diffjax import exact
from diffjax.process import prediction, schedules

LEVELS = {
    "chain": lambda: schedules.linear_beta(1000)(300),
    "edm": lambda: schedules.edm()(0.7),
    "rectified_flow": lambda: schedules.rectified_flow()(0.4),
    "data": lambda: schedules.edm()(0.0),
}
POINTS = np.array([[0.1, 0.3], [-1.5, 0.2], [0.9, -1.1], [4.0, 3.0]])


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("label", [None, 0, 1])
def test_density_against_scipy(x64, name, label):
    m, level = mixtures.tilted(), LEVELS[name]()
    members = [k for k in range(3) if label is None or m.labels[k] == label]
    density = sum(
        m.weights[k]
        * stats.multivariate_normal(
            level.alpha * m.means[k], level.alpha**2 * m.covariances[k] + level.sigma**2 * np.eye(2)
        ).pdf(POINTS)
        for k in members
    ) / sum(m.weights[k] for k in members)
    ours = jax.jit(lambda x: m.log_prob(x, level, label))(jnp.asarray(POINTS))
    np.testing.assert_allclose(ours, np.log(density), rtol=1e-11)


@pytest.mark.parametrize("name", ["chain", "edm", "rectified_flow"])
@pytest.mark.parametrize("label", [None, 0, 1])
def test_score_and_tweedie_are_derivatives_of_the_density(x64, name, label):
    m, level, x = mixtures.tilted(), LEVELS[name](), jnp.asarray(POINTS)
    predicted, ours = jax.jit(lambda x: (m.predict(x, level, label), m.score(x, level, label)))(x)
    score = jax.jit(jax.grad(lambda x: m.log_prob(x, level, label).sum()))(x)
    np.testing.assert_allclose(ours, score, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(prediction.score(predicted, level), score, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(predicted.x0, prediction.tweedie(score, x, level), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        level.alpha * predicted.x0 + level.sigma * predicted.eps, x, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", ["chain", "edm", "rectified_flow"])
def test_posterior_covariance_is_miyasawas_second_order(x64, name):
    """Cov[x_0 | x_t] = sigma^2 / alpha^2 (I + sigma^2 Hessian of log p)."""
    m, level, x = mixtures.tilted(), LEVELS[name](), jnp.asarray(POINTS)
    (r, means, covariances), x0 = jax.device_get(
        jax.jit(lambda x: (m.posterior(x, level), m.predict(x, level).x0))(x)
    )
    mean = np.einsum("bk,bki->bi", r, means)
    second = np.einsum("bk,bkij->bij", r, covariances + means[..., :, None] * means[..., None, :])
    hessian = jax.jit(jax.vmap(jax.hessian(lambda y: m.log_prob(y[None], level)[0])))(x)
    expected = (level.sigma / level.alpha) ** 2 * (np.eye(2) + level.sigma**2 * hessian)
    np.testing.assert_allclose(mean, x0, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        second - mean[..., :, None] * mean[..., None, :], expected, rtol=1e-8, atol=1e-10
    )


def test_denoiser_is_the_posterior_mean_by_brute_force(x64):
    m = exact.gaussian_mixture([0.3, 0.7], [[-1.0], [0.8]], [0.2, 0.05])
    level, x_t = schedules.linear_beta(1000)(400), 0.37
    x0 = np.linspace(-8, 8, 20001)
    log = np.asarray(jax.jit(m.log_prob)(x0[:, None]))
    weight = np.exp(log - 0.5 * ((x_t - level.alpha * x0) / level.sigma) ** 2)
    at_x_t = jax.jit(lambda x: (m.predict(x, level), m.log_prob(x, level)))
    predicted, log_p = at_x_t(np.array([[x_t]]))
    np.testing.assert_allclose(predicted.x0[0, 0], (weight * x0).sum() / weight.sum(), rtol=1e-10)
    # and log p(x_t) is the same integral
    norm = weight.sum() * (x0[1] - x0[0]) / np.sqrt(2 * np.pi) / level.sigma
    np.testing.assert_allclose(log_p[0], np.log(norm), rtol=1e-10)


def test_classifier_and_guided_score(x64):
    m, level, x = mixtures.tilted(), LEVELS["edm"](), jnp.asarray(POINTS)
    of_classes = lambda x: (m.class_log_prob(x, level), [m.log_prob(x, level, label) for label in (0, 1)])
    all_of_it = lambda x: (*of_classes(x), m.log_prob(x, level), m.guided_score(x, level, 1, 3.0))
    log_p, given, alone, guided = jax.device_get(jax.jit(all_of_it)(x))
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=1e-13)
    for label, prior in [(0, 0.7), (1, 0.3)]:
        bayes = given[label] + np.log(prior) - alone
        np.testing.assert_allclose(log_p[:, label], bayes, rtol=1e-9, atol=1e-12)
    log_tilted = lambda x: -2 * m.log_prob(x, level) + 3 * m.log_prob(x, level, 1)
    tilted = jax.jit(jax.grad(lambda x: log_tilted(x).sum()))(x)
    np.testing.assert_allclose(guided, tilted, rtol=1e-10, atol=1e-12)


def test_labels_of_a_batch_choose_each_samples_class():
    m, level, x = mixtures.tilted(), LEVELS["edm"](), jnp.asarray(POINTS, jnp.float32)
    mixed = m.denoiser()(x, level, jnp.array([0, 1, -1, 1]))
    for i, label in enumerate([0, 1, None, 1]):
        np.testing.assert_allclose(mixed.x0[i], m.predict(x, level, label).x0[i], rtol=1e-6)


def test_noise_prediction_survives_float32_at_both_ends():
    """(x - alpha x_0) / sigma would lose its digits at small sigma, and x_0 at small alpha."""
    m = mixtures.tilted()
    for t in (1e-4, 1e3):
        level = schedules.edm(sigma_max=2e3)(t)
        x = np.asarray(m.means[:1] + t * 0.7)
        predict = lambda x, level=level: m.predict(x, level)
        single = jax.jit(predict)(np.float32(x))
        with jax.enable_x64(True):
            double = jax.jit(predict)(np.float64(np.float32(x)))
        np.testing.assert_allclose(single.eps, double.eps, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(single.x0, double.x0, rtol=1e-5, atol=1e-5)


def test_samples_have_the_weights_and_moments():
    m = mixtures.tilted()
    n = 20000
    x = np.asarray(jax.jit(lambda key: m.sample(key, n))(jax.random.key(0)), np.float64)
    mean = m.weights @ m.means
    second = np.einsum("k,kij->ij", m.weights, m.covariances + m.means[:, :, None] * m.means[:, None, :])
    covariance = second - np.outer(mean, mean)
    assert (np.abs(x.mean(0) - mean) < 4 * np.sqrt(np.diag(covariance) / n)).all()
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=4 * np.sqrt(2 / n) * covariance.max())
    only = jax.jit(lambda key: m.sample(key, 200, label=1))(jax.random.key(1))
    np.testing.assert_allclose(only.mean(0), m.means[2], atol=4 * np.sqrt(0.4 / 200))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [[0.0], [1.0]], [[[1.0, 0], [0, 1]]] * 2), "covariances must be"),
        (([0.5, -0.5], [[0.0], [1.0]], [1.0, 1.0]), "weights must be positive"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]), "positive semi-definite"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), "symmetric"),
        (([1.0, 1.0], [[0.0, 0.0]], [1.0]), "weights must be"),
        (([1.0], [[0.0]], [1.0], [-1]), "labels must be"),
    ],
)
def test_bad_mixtures_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        exact.gaussian_mixture(*arguments)
    with pytest.raises(ValueError, match="label must be one of"):
        mixtures.tilted().sample(jax.random.key(0), 3, label=5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m, x, at: m.sample(jax.random.key(0), -1), "n must be a positive integer, got -1"),
        (lambda m, x, at: m.sample(jax.random.key(0), 2.5), "n must be an integer, got 2.5"),
        (lambda m, x, at: m.sample(0, 3), "key must be a key"),
        (lambda m, x, at: m.predict(x, 0.5), "level must be a NoiseLevel, got 0.5"),
        (lambda m, x, at: m.predict(x, at, np.array([0, 1])), r"label must be .*x has batch = 4"),
        (lambda m, x, at: m.predict(x, at, np.array([0, 1, 7, -1])), r"label must be one of \[0, 1\], got 7"),
        (lambda m, x, at: m.predict(x.astype(jnp.int32), at), "x must be a float array"),
        (lambda m, x, at: m.score(x[:, :1], at), r"x must be \[B, 2\], got \[4, 1\]"),
        (lambda m, x, at: exact.gaussian_mixture("even", [[0.0]], [1.0]), "weights must be"),
        (lambda m, x, at: exact.gaussian_mixture([1, 2], [[0.0, 1.0], [1.0]], [1.0, 1.0]), "means must be"),
        (lambda m, x, at: exact.gaussian_mixture([1], [[0.0]], [np.nan]), "covariances must be finite"),
        (lambda m, x, at: exact.gaussian_mixture([1], [[0.0]], [1.0], labels=[0.5]), "labels must be"),
    ],
)
def test_wrong_calls_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(mixtures.tilted(), jnp.asarray(POINTS, jnp.float32), LEVELS["edm"]())
