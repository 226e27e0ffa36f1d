"""Toy sets against their parameters, their closed forms and scikit-learn's curves."""

import numpy as np
import pytest
from scipy import spatial
from sklearn import datasets

from diffjax import toys
from diffjax.data import toys as sets

N = 40_000
MIXTURES = ["ring8", "two_modes", "grid25"]


def _draw(name, n=N, **options):
    return getattr(sets, name)(np.random.default_rng(7), n, **options)


def _assert_mean(values, expected):
    """The mean over axis 0 lies within three standard errors."""
    error = values.std(axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) < 3 * error)


def test_parameters_are_the_documented_numbers():
    ring = toys.ring8(radius=2.0, sd=0.3)
    np.testing.assert_allclose(36 * ring.weights, [1, 2, 3, 4, 5, 6, 7, 8])
    half = np.sqrt(2)
    np.testing.assert_allclose(ring.means[:4], [[2, 0], [half, half], [0, 2], [-half, half]], atol=1e-12)
    np.testing.assert_allclose(ring.means[4:], -ring.means[:4], atol=1e-12)
    np.testing.assert_allclose(ring.covariances[5], [[0.09, 0], [0, 0.09]])

    two = toys.two_modes()
    np.testing.assert_array_equal(two.weights, [0.2, 0.8])
    np.testing.assert_array_equal(two.means, [[-5, 0], [5, 0]])
    np.testing.assert_array_equal(two.covariances, [np.eye(2), np.eye(2)])

    grid = toys.grid25(spacing=0.5)
    assert {tuple(m) for m in grid.means} == {(a / 2, b / 2) for a in range(-2, 3) for b in range(-2, 3)}


@pytest.mark.parametrize("name", MIXTURES)
def test_parameters_make_a_distribution(name):
    weights, means, covariances = getattr(toys, name)()
    assert weights.dtype == means.dtype == covariances.dtype == np.float64
    assert means.shape == (len(weights), 2) and covariances.shape == (len(weights), 2, 2)
    assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="sd must be positive, got -1"):
        toys.ring8(sd=-1)
    with pytest.raises(ValueError, match="weights must be two positive numbers"):
        toys.two_modes(weights=(0.5, 0.6))


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_samples_follow_the_parameters(name):
    weights, means, covariances = getattr(toys, name)()
    x, label = _draw(name)
    x = x.astype(np.float64)
    _assert_mean(label[:, None] == np.arange(len(weights)), weights)

    centre = weights @ means
    second = np.einsum("k,kij->ij", weights, covariances + means[:, :, None] * means[:, None, :])
    _assert_mean(x, centre)
    _assert_mean(x[:, :, None] * x[:, None, :], second)

    sd = np.sqrt(covariances[label][:, [0, 1], [0, 1]])
    unit = (x - means[label]) / sd
    _assert_mean(unit, 0.0)
    _assert_mean(unit**2, 1.0)
    _assert_mean(unit**4, 3.0)


def test_mixture_uses_the_whole_covariance():
    covariance = np.array([[1.0, 0.6], [0.6, 0.5]])
    parameters = toys.Mixture(np.ones(1), np.zeros((1, 2)), covariance[None])
    x, _ = sets.mixture(parameters, np.random.default_rng(0), N)
    _assert_mean(x[:, :, None].astype(np.float64) * x[:, None, :], covariance)


def test_checkerboard_fills_its_dark_squares_and_nothing_else():
    x, label = _draw("checkerboard")
    assert label is None
    low = np.array([(i / 2 - 1, j / 2 - 1) for i in range(4) for j in range(4) if (i + j) % 2 == 0])
    inside = np.all((x[:, None] >= low) & (x[:, None] <= low + 0.5), axis=-1)
    assert inside.any(axis=1).all()
    _assert_mean(inside, 1 / 8)
    _assert_mean(x.astype(np.float64), 0.0)
    _assert_mean(x.astype(np.float64) ** 2, 1 / 3)


def test_moons_lie_on_scikit_learns_curves():
    x, label = _draw("moons", n=2000, noise=0.0)
    curves, moon = datasets.make_moons(4000, shuffle=False, noise=None)
    curves = (curves - [0.5, 0.25]) / 1.5
    for k in (0, 1):
        distance, _ = spatial.cKDTree(curves[moon == k]).query(x[label == k])
        assert distance.max() < np.pi * (2 / 3) / 2000  # one gap between the curve's points
    assert np.all(np.abs(x) <= [1 + 1e-6, 0.5 + 1e-6])


def test_moons_are_equally_likely():
    _, label = _draw("moons")
    _assert_mean(label.astype(np.float64), 0.5)


def test_swiss_roll_lies_on_scikit_learns_curve():
    def on_the_curve(points):
        radius = np.linalg.norm(points, axis=1, keepdims=True)
        angle = 4.5 * np.pi * radius
        return radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)

    reference = datasets.make_swiss_roll(2000, random_state=0)[0][:, [0, 2]] / (4.5 * np.pi)
    np.testing.assert_allclose(on_the_curve(reference), reference, atol=1e-12)
    x, label = _draw("swiss_roll", noise=0.0)
    assert label is None
    np.testing.assert_allclose(on_the_curve(x.astype(np.float64)), x, atol=3e-6)
    radius = np.linalg.norm(x.astype(np.float64), axis=1)
    assert radius.min() > 1 / 3 - 1e-6 and radius.max() < 1 + 1e-6
    _assert_mean(radius, 2 / 3)
    _assert_mean((radius - 2 / 3) ** 2, (2 / 3) ** 2 / 12)


@pytest.mark.parametrize("name", ["moons", "swiss_roll"])
def test_noise_has_the_stated_deviation(name):
    noise = _draw(name, noise=0.1)[0].astype(np.float64) - _draw(name, noise=0.0)[0]
    _assert_mean(noise, 0.0)
    _assert_mean(noise**2, 0.01)
