"""Precision, recall, density and coverage on sets small enough to count by hand, and in expectation."""

import numpy as np
import pytest

from diffjax.evaluation.prdc import PRDC, prdc


def _line(*values):
    return np.array(values, np.float32)[:, None]


def test_counted_by_hand():
    """Real balls have radius 1; the sample at 0.5 is in those of 0 and 1, and its own reaches to 10."""
    found = prdc(_line(0, 1, 2, 3), _line(0.5, 10, 11), k=1)
    np.testing.assert_allclose(found, PRDC(precision=1 / 3, recall=1, density=2 / 3, coverage=2 / 4))


def test_an_outlier_among_the_real():
    """The outlier's ball swallows both samples: precision is fooled, density less, coverage not."""
    found = prdc(_line(0, 1, 2, 100), _line(50, 51), k=1)
    np.testing.assert_allclose(found, PRDC(precision=1, recall=0, density=1, coverage=1 / 4))


def test_far_apart_and_one_mode_only():
    real = np.concatenate([_line(*range(20)), _line(*range(1000, 1020))])
    np.testing.assert_array_equal(prdc(real, real + 5000.0), PRDC(0, 0, 0, 0))
    found = prdc(real, _line(*(np.arange(40) / 2)), k=2)
    assert found.precision == 1 and found.recall == found.coverage == 0.5


def test_expectations_for_equal_distributions():
    """Density 1; coverage 1 - prod_i (N - i) / (N + M - i): not all of the k nearest of both are real."""
    rng = np.random.default_rng(0)
    n, m, k = 300, 200, 3
    draws = [prdc(rng.standard_normal((n, 2)), rng.standard_normal((m, 2)), k=k) for _ in range(40)]
    found = PRDC(*np.mean(draws, axis=0))
    i = np.arange(1, k + 1)
    np.testing.assert_allclose(found.density, 1, atol=0.03)  # four standard errors
    np.testing.assert_allclose(found.coverage, 1 - np.prod((n - i) / (n + m - i)), atol=0.018)


def test_too_many_neighbours():
    with pytest.raises(ValueError, match=r"k must be in 1\.\.3, one less than there are points; got 5"):
        prdc(_line(0, 1, 2, 3), _line(*range(9)))
