"""Inception score and sliced Wasserstein distance against closed forms."""

import numpy as np
import pytest

from diffjax.evaluation.inception_score import inception_score
from diffjax.evaluation.wasserstein import sliced_wasserstein


def test_inception_score_from_1_to_k():
    np.testing.assert_allclose(inception_score(np.tile(np.eye(7), (3, 1))), 7)
    np.testing.assert_allclose(inception_score(np.tile([0.5, 0.25, 0.25], (9, 1))), 1)
    np.testing.assert_allclose(inception_score(np.tile([1.0, 0.0], (9, 1))), 1)


def test_inception_score_of_two_noisy_classes():
    """A binary symmetric channel of error p carries log 2 - h(p) nats."""
    p = 0.1
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    rows = np.array([[p, 1 - p], [1 - p, p]])
    np.testing.assert_allclose(inception_score(rows), 2 * np.exp(-entropy))


def test_inception_score_of_logits():
    with pytest.raises(ValueError, match=r"rows \[N, K\] that sum to one"):
        inception_score(np.array([[3.0, -1.0]]))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_sliced_wasserstein_of_a_set_shifted_and_stretched(dimension):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, dimension)) + 2
    shift = rng.standard_normal(dimension)
    distance = sliced_wasserstein(x, rng.permutation(x + shift), rng)
    np.testing.assert_allclose(distance, np.linalg.norm(shift) / np.sqrt(dimension), rtol=1e-10)
    stretched = sliced_wasserstein(rng.permutation(x), 1.5 * x, rng)
    np.testing.assert_allclose(stretched, 0.5 * np.sqrt(np.mean(x**2)), rtol=1e-10)
    assert sliced_wasserstein(x, rng.permutation(x), rng) < 1e-12


def test_sliced_wasserstein_of_more_dimensions_than_directions():
    """A shift measures |d| / sqrt(D) on average over directions, of which there are not D."""
    rng = np.random.default_rng(0)
    x, shift = rng.standard_normal((50, 400)), rng.standard_normal(400)
    squares = [sliced_wasserstein(x, x + shift, np.random.default_rng(i)) ** 2 for i in range(20)]
    np.testing.assert_allclose(np.mean(squares), shift @ shift / 400, rtol=4 * np.sqrt(2 / (20 * 128)))


def test_sliced_wasserstein_is_transport_not_pairing():
    """Mass moves over the least distance: of {0, 1} and {1, 2} each point by 1."""
    assert sliced_wasserstein([[0.0], [1.0]], [[2.0], [1.0]], np.random.default_rng(0)) == pytest.approx(1)


def test_sliced_wasserstein_of_different_sizes():
    with pytest.raises(ValueError, match=r"one shape \[N, D\], got \[4, 2\] and \[5, 2\]"):
        sliced_wasserstein(np.zeros((4, 2)), np.zeros((5, 2)), np.random.default_rng(0))
