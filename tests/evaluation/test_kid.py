"""Kernel distance against its definition and against moments of normal variables."""

import numpy as np
import pytest

from diffjax.evaluation import kid


def _loops(a, b):
    """Average the kernel pair by pair, as the definition is written."""
    k = lambda x, y: (float(x @ y) / len(x) + 1) ** 3
    n, m = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def test_definition():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 3)), rng.standard_normal((9, 3)) + 1
    np.testing.assert_allclose(kid.squared_mmd(a, b), _loops(a, b), rtol=1e-12)


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_unbiased(mean):
    """In one dimension the MMD is sum_j binom(3, j) (E x^j - E y^j)^2; here of N(0, 1) and N(mean, 1)."""
    rng = np.random.default_rng(0)
    estimates = [
        kid.squared_mmd(rng.standard_normal((40, 1)), rng.standard_normal((25, 1)) + mean)
        for _ in range(2000)
    ]
    expected = 3 * mean**2 + 3 * mean**4 + (mean**3 + 3 * mean) ** 2
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - expected) < 4 * error


def test_subsets():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((60, 4)), rng.standard_normal((50, 4)) + 0.5
    mean, std = kid.kernel_distance(a, b, rng, subsets=400, size=25)
    assert abs(mean - kid.squared_mmd(a, b)) < 4 * std / np.sqrt(400)
    mean, std = kid.kernel_distance(a[:50], b, rng, subsets=3, size=50)
    np.testing.assert_allclose([mean, std], [kid.squared_mmd(a[:50], b), 0], atol=1e-12)


def test_sizes_out_of_range():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"size must be in 2\.\.9, the smaller set; got 10"):
        kid.kernel_distance(np.zeros((20, 2)), np.zeros((9, 2)), rng, size=10)
    with pytest.raises(ValueError, match="at least 2 rows each, got 1 and 5"):
        kid.squared_mmd(np.zeros((1, 2)), np.zeros((5, 2)))
