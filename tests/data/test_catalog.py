"""Sources by name, and the source itself."""

import numpy as np
import pytest

from diffjax import data, toys
from diffjax.data import toys as sets

TOYS = {"ring8": 8, "two_modes": 2, "grid25": 25, "checkerboard": None, "moons": 2, "swiss_roll": None}


@pytest.mark.parametrize("name", TOYS)
def test_every_toy_set_behaves_alike(name):
    source = data.load(name, num_examples=500, seed=3)
    assert source.x.dtype == np.float32 and source.x.shape == (500, 2) and len(source) == 500
    assert source.num_classes == TOYS[name]
    if source.num_classes is None:
        assert source.label is None
    else:
        assert source.label.dtype == np.int32 and set(source.label) == set(range(source.num_classes))
    np.testing.assert_array_equal(source.x, data.load(name, num_examples=500, seed=3).x)
    for split, seed in (("train", 4), ("test", 3)):
        other = data.load(name, split, num_examples=500, seed=seed)
        assert not np.isin(other.x, source.x).all(axis=1).any()


@pytest.mark.parametrize("name", ["ring8", "two_modes", "grid25"])
def test_names_mean_the_mixtures_of_that_name(name):
    source = data.load(name, num_examples=5000)
    mixture = getattr(toys, name)()
    distance = np.linalg.norm(source.x - mixture.means[source.label], axis=1)
    assert distance.max() < 6 * np.sqrt(mixture.covariances.max())


def test_toy_splits_are_not_shifted_copies_of_one_stream():
    train, test = data.load("moons", num_examples=100), data.load("moons", "test", num_examples=100)
    rng = np.random.default_rng(0)
    assert not np.array_equal(train.x, sets.moons(rng, 100)[0])
    assert not np.array_equal(train.label, test.label)


def test_npz_by_name(tmp_path):
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.savez(tmp_path / "file.npz", images=images)
    source = data.load("npz", path=tmp_path / "file.npz", images="images", labels=None)
    np.testing.assert_array_equal(source.x[..., 0], images)


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "digit",
            {},
            'one of digits, npz, folder, ring8, .* set of TFDS.* got "digit", did you mean "digits"',
        ),
        ("cifar", {}, 'got "cifar", did you mean "cifar10"'),
        ("", {}, 'set of TFDS such as cifar10; got ""$'),
        ("xyzzy/8x8", {}, 'got "xyzzy/8x8"$'),
        ("folder", {"path": "."}, "missing a required argument: 'size'"),
        (
            "cifar10",
            {"path": "x"},
            "unexpected keyword argument 'path'; its options are data_dir, image, label",
        ),
        ("npz", {}, "missing a required argument: 'path'"),
        ("ring8", {"n": 5}, "unexpected keyword argument 'n'; its options are num_examples, seed"),
        ("ring8", {"num_examples": 0}, "num_examples must be at least 1, got 0"),
        ("ring8", {"split": "validation"}, 'split must be "train" or "test", got "validation"'),
    ],
)
def test_bad_requests_say_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, **options)


def test_pixels_survive_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    x = data.to_model(pixels)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, np.arange(256) / 127.5 - 1, atol=1e-6)
    assert x[0] == -1 and x[255] == 1
    np.testing.assert_array_equal(data.to_uint8(x), pixels)


def test_to_uint8_rounds_and_clips():
    step = 2 / 255
    x = np.array([-7, -1 - step, -1 + 0.49 * step, -1 + 0.51 * step, 1 - 0.51 * step, 1 - 0.49 * step, 1.5])
    np.testing.assert_array_equal(data.to_uint8(x), [0, 0, 0, 1, 254, 255, 255])


def test_conversions_refuse_the_wrong_side():
    with pytest.raises(ValueError, match=r"images must be an? uint8 array .*, got float64"):
        data.to_model(np.zeros(3))
    with pytest.raises(ValueError, match=r"x must be a float array .*, got uint8"):
        data.to_uint8(np.zeros(3, np.uint8))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"x": np.zeros((4, 2))}, "toy: x must be uint8 or float32, got float64"),
        ({"x": np.zeros((4, 2, 2), np.uint8)}, r"images must be \[N, H, W, C\], got shape \(4, 2, 2\)"),
        ({"x": np.full((4, 2), np.nan, np.float32)}, "toy: x must be finite, got values from nan to nan"),
        (
            {"x": np.array([0, 255], np.float32).reshape(1, 2, 1, 1)},
            r"float images must be in \[-1, 1\] .*, got values from 0 to 255",
        ),
        ({"label": np.zeros(4, np.int32)}, "label and num_classes must be given together"),
        ({"label": np.zeros(4), "num_classes": 1}, r"label must be int32 of shape \(4,\), got float64"),
        ({"label": np.zeros(3, np.int32), "num_classes": 1}, r"shape \(4,\), got int32 \(3,\)"),
        ({"label": np.arange(4, dtype=np.int32), "num_classes": 3}, "in 0..2, got values from 0 to 3"),
    ],
)
def test_source_refuses_what_does_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        data.Source(**{"x": np.zeros((4, 2), np.float32), "name": "toy"} | fields)
