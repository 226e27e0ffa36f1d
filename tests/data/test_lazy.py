"""Lazy images behave as the array that they stand for."""

import concurrent.futures
import itertools

import numpy as np
import pytest

from diffjax import data
from diffjax.data import lazy

N = 20
PIXELS = np.random.default_rng(0).integers(256, size=(N, 3, 5, 3), dtype=np.uint8)


@pytest.fixture(params=["kept", "read again"])
def images(request, monkeypatch):
    """The images, with the rows of every call to read."""
    if request.param == "read again":
        monkeypatch.setattr(lazy, "_KEPT_BYTES", 0)
    calls = []

    def read(rows):
        calls.append(rows.tolist())
        return PIXELS[rows]

    found = data.LazyImages(read, PIXELS.shape)
    found.calls = calls
    return found


@pytest.mark.parametrize(
    "index",
    [3, -1, np.int64(4), slice(None), slice(2, 9, 3), slice(0, 0), slice(None, None, -1), [4, 1, 1], [],
     np.array([[0, 1], [2, 0]]), np.arange(N) % 3 == 0, (Ellipsis, 0), (slice(2, 4), 1), np.array([-1, 3])],
)  # fmt: skip
def test_indexed_as_an_array(images, index):
    index = np.array(index, int) if isinstance(index, list) else index
    found = images[index]
    assert isinstance(found, np.ndarray) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, PIXELS[index])


def test_is_an_array_to_numpy(images):
    np.testing.assert_array_equal(np.asarray(images), PIXELS)
    np.testing.assert_array_equal(np.asarray(images, np.float64), PIXELS)
    assert len(images) == N and images.shape == PIXELS.shape and images.ndim == 4 and images.dtype == np.uint8


def test_out_of_range_is_an_index_error(images):
    with pytest.raises(IndexError):
        images[N]
    with pytest.raises(IndexError):
        images[np.array([0, -N - 1])]


def test_what_comes_out_may_be_changed(images):
    for _ in range(2):
        found = images[:4]
        found[:] = 0
    np.testing.assert_array_equal(images[:4], PIXELS[:4])


def test_no_image_is_decoded_twice_for_one_batch(images):
    np.testing.assert_array_equal(images[np.array([5, 2, 5, 5])], PIXELS[[5, 2, 5, 5]])
    assert images.calls == [[2, 5]]


def test_what_fits_is_decoded_once():
    calls = []
    images = data.LazyImages(lambda rows: (calls.extend(rows), PIXELS[rows])[1], PIXELS.shape)
    for _ in range(3):
        for start in range(0, N, 4):
            images[start : start + 6]
    np.asarray(images)
    assert sorted(calls) == list(range(N))


def test_what_does_not_fit_is_not_kept(monkeypatch):
    monkeypatch.setattr(lazy, "_KEPT_BYTES", PIXELS.nbytes - 1)
    calls = []
    images = data.LazyImages(lambda rows: (calls.extend(rows), PIXELS[rows])[1], PIXELS.shape)
    images[:3], images[:3]
    assert calls == [0, 1, 2, 0, 1, 2]


def test_a_failed_read_may_be_tried_again():
    broken = [True]

    def read(rows):
        if broken.pop():
            broken.append(False)
            raise OSError("disk is away")
        broken.append(False)
        return PIXELS[rows]

    images = data.LazyImages(read, PIXELS.shape)
    with pytest.raises(OSError, match="disk is away"):
        images[:5]
    np.testing.assert_array_equal(images[:5], PIXELS[:5])


def test_many_threads_may_read_at_once(images):
    order = np.random.default_rng(1).integers(N, size=(200, 7))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for rows, found in zip(order, pool.map(images.__getitem__, order)):
            np.testing.assert_array_equal(found, PIXELS[rows])


def test_batches_are_those_of_the_array(images):
    label = np.arange(N, dtype=np.int32)
    streams = [data.batches(data.Source(x, label, N), 6, seed=1, flip=True) for x in (images, PIXELS)]
    for found, expected in itertools.islice(zip(*streams), 10):
        np.testing.assert_array_equal(found["x"], expected["x"])
        np.testing.assert_array_equal(found["label"], expected["label"])
    np.testing.assert_array_equal(np.asarray(images), PIXELS)  # no flip was written back
