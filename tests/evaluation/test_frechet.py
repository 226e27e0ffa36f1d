"""Fréchet distance against closed forms and SciPy's matrix root."""

import numpy as np
import pytest
import scipy.linalg

from diffjax.evaluation import frechet


def _features(n, f, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, f)) @ rng.standard_normal((f, f)) + rng.standard_normal(f)


def test_isotropic_gaussians():
    distance = frechet.gaussian_distance(np.zeros(5), 4 * np.eye(5), np.full(5, 0.5), 0.25 * np.eye(5))
    np.testing.assert_allclose(distance, 5 * 0.25 + 5 * (2 - 0.5) ** 2, rtol=1e-13)


def test_covariances_that_do_not_commute():
    (mean_a, a), (mean_b, b) = frechet.moments(_features(50, 6)), frechet.moments(_features(40, 6, seed=1))
    root = scipy.linalg.sqrtm(a @ b).real
    expected = np.sum((mean_a - mean_b) ** 2) + np.trace(a + b - 2 * root)
    np.testing.assert_allclose(frechet.gaussian_distance(mean_a, a, mean_b, b), expected, rtol=1e-10)


def test_singular_covariances():
    """Of u u^T and v v^T the root of the product has trace |u.v|."""
    u, v = np.array([1.0, 2.0, -1.0]), np.array([0.5, 1.0, 3.0])
    distance = frechet.gaussian_distance(np.zeros(3), np.outer(u, u), np.zeros(3), np.outer(v, v))
    np.testing.assert_allclose(distance, u @ u + v @ v - 2 * abs(u @ v), rtol=1e-12)


def test_moments_are_those_of_numpy():
    x = _features(30, 4)
    mean, cov = frechet.moments(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(x.T), rtol=1e-12)


def test_a_set_shifted_and_stretched():
    x = _features(100, 7)
    shift = np.arange(7) / 3
    np.testing.assert_allclose(frechet.frechet_distance(x, x + shift), shift @ shift, rtol=1e-10)
    mean, cov = frechet.moments(x)
    expected = 4 * (mean @ mean) + 4 * np.trace(cov)  # every point moves by 2 x
    np.testing.assert_allclose(frechet.frechet_distance(x, 3 * x), expected, rtol=1e-10)


def test_fewer_examples_than_features():
    """The covariance has rank 9 of 40: a shift is still measured exactly, and the same set is at 0."""
    x = np.random.default_rng(0).standard_normal((10, 40)).astype(np.float32)
    assert 0 <= frechet.frechet_distance(x, x) < 1e-11
    np.testing.assert_allclose(frechet.frechet_distance(x, x.astype(np.float64) + 1), 40, rtol=1e-10)


def test_floor_of_a_normal_set():
    """Halves of n rows of N(0, 1)^F: 2 F / n by the means, F (F + 1) / (2 (n - 1)) by the covariances."""
    rng = np.random.default_rng(0)
    n, f = 2000, 8
    floor = frechet.halves_floor(rng.standard_normal((2 * n, f)), rng, repeats=60)
    np.testing.assert_allclose(floor, 2 * f / n + f * (f + 1) / (2 * (n - 1)), rtol=0.1)


def test_floor_within_classes():
    """Two classes, each a single point: only chance in their numbers tells halves apart."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], 50))
    features = labels[:, None] * np.ones(3)
    assert frechet.halves_floor(features, np.random.default_rng(1), labels=labels) < 1e-12
    assert frechet.halves_floor(features, np.random.default_rng(1)) > 1e-3


def test_what_is_no_set_of_features():
    with pytest.raises(ValueError, match=r"N >= 2, got shape \[1, 3\]"):
        frechet.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="same width, got 3 and 4"):
        frechet.frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))
