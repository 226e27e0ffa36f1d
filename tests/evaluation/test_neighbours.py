"""Nearest neighbours against brute force; copies are found and fresh data are not called copies."""

import tracemalloc

import numpy as np
import pytest

from diffjax.evaluation import neighbours


def test_nearest_is_brute_force():
    rng = np.random.default_rng(0)
    queries, points = rng.standard_normal((700, 2, 3)), rng.standard_normal((90, 2, 3))
    distances = np.sqrt(((queries[:, None] - points[None]) ** 2).sum(axis=(2, 3)))
    indices, found = neighbours.nearest(queries, points)
    np.testing.assert_array_equal(indices, distances.argmin(axis=1))
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-12)


def test_pixels_count_from_0_to_1():
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 255, np.uint8)
    np.testing.assert_allclose(neighbours.nearest(black, white)[1], np.sqrt(8 * 8 * 3), rtol=1e-12)


def test_equal_rows_are_at_exactly_zero():
    points = 1e4 + np.random.default_rng(0).standard_normal((600, 5))
    indices, found = neighbours.nearest(points, points)
    np.testing.assert_array_equal(indices, np.arange(600))
    np.testing.assert_array_equal(found, 0)


def test_radii_leave_out_the_point_itself():
    points = np.array([[0.0], [1.0], [3.0], [3.0], [7.0]])
    np.testing.assert_allclose(neighbours.radii(points, 1), [1, 1, 0, 0, 4])
    np.testing.assert_allclose(neighbours.radii(points, 2), [3, 2, 2, 2, 4])
    with pytest.raises(ValueError, match=r"k must be in 1\.\.4"):
        neighbours.radii(points, 5)


def test_memorisation():
    rng = np.random.default_rng(0)
    train, held_out, fresh = (rng.standard_normal((n, 3)) for n in (500, 2000, 2000))
    copied = neighbours.memorisation(train[:100], train, held_out)
    assert copied.median == copied.low == 0 and copied.copies == 1
    honest = neighbours.memorisation(fresh, train, held_out)
    assert 0.004 < honest.copies < 0.02  # 0.01 +- 2.7 standard deviations of 2,000 tosses
    np.testing.assert_allclose(honest.median, honest.held_out_median, rtol=0.05)
    half = neighbours.memorisation(np.concatenate([train, fresh[:500]]), train, held_out)
    np.testing.assert_allclose(half.copies, 0.5, atol=0.01)


def test_a_larger_set_of_pixels_is_never_whole_in_floats():
    """At most one byte more for each of its values, whatever a block takes."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (8000, 32, 32, 3), np.uint8)
    few, peaks = rng.integers(0, 256, (2, 20, 32, 32, 3), np.uint8), []
    for size in (4000, 8000):
        tracemalloc.start()
        neighbours.memorisation(few[0], train[:size], few[1])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < train[4000:].size
