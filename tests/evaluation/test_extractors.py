"""Features of images: recorded ones of torch-fidelity, and what an extractor does around its network."""

import numpy as np
import pytest
import scipy.special
from inception_weights import random_tensors
from reference import load, optional_data
from trunk_weights import random_alexnet

from diffjax import pretrained
from diffjax.evaluation import extractors, frechet


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """An extractor with random weights, and what torch-fidelity made of the same."""
    save_file = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors").save_file
    golden, hyper = load("inception_v3_fid")
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file(random_tensors(hyper["shapes"], hyper["seed"]), path)
    return extractors.inception(path, batch_size=2), golden


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "alexnet.npz"
    np.savez(path, **random_alexnet())
    return path


def pictures(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def test_inception_features_are_those_of_torch_fidelity(recorded):
    """Three images in batches of two; they differ from each other by 0.4 of the outputs' deviation."""
    extractor, golden = recorded
    theirs = golden["out__features"]
    ours = extractor.features(golden["in__images"])
    assert ours.dtype == np.float32 and extractor.name == "inception_v3_fid"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())


def test_inception_probabilities_are_the_softmax_of_logits_without_bias(recorded):
    extractor, golden = recorded
    expected = scipy.special.softmax(golden["out__logits_unbiased"].astype(np.float64), axis=1)
    np.testing.assert_allclose(extractor.probabilities(golden["in__images"]), expected, rtol=1e-3, atol=1e-9)


def test_batches_do_not_matter(trunk):
    images = pictures(5, 40, 70, 3)
    one = extractors.lpips_trunk(trunk, batch_size=1).features(images)
    four = extractors.lpips_trunk(trunk, batch_size=4).features(images)
    assert one.shape == (5, 256) and one.dtype == np.float32
    np.testing.assert_allclose(one, four, rtol=0, atol=1e-5 * one.std())
    assert not np.allclose(one[3], one[4], rtol=0, atol=1e-2 * one.std())


def test_grey_images_are_three_equal_channels(trunk):
    features = extractors.lpips_trunk(trunk, batch_size=2).features
    grey = pictures(2, 28, 28, 1)
    np.testing.assert_array_equal(features(grey), features(np.repeat(grey, 3, axis=-1)))


def test_features_are_means_of_the_last_map_of_pixels_in_minus_1_to_1(trunk):
    """At 64 x 80 nothing is resized."""
    images = pictures(2, 64, 80, 3)
    module, variables = pretrained.load(trunk, "lpips_alexnet")
    *_, last = module.apply(variables, images / np.float32(127.5) - 1)
    features = extractors.lpips_trunk(trunk, batch_size=2).features(images)
    np.testing.assert_allclose(features, last.mean(axis=(1, 2)), rtol=0, atol=1e-5 * features.std())


def test_small_images_are_enlarged_between_pixel_centres(trunk):
    """Columns repeated in a 32 x 32 image: between them lie the quarter points, beyond them the edge."""
    columns = np.array([0, 100, 40, 240] * 8, np.float64)
    place = np.clip((np.arange(64) + 0.5) / 2 - 0.5, 0, 31)
    enlarged = np.interp(place, np.arange(32), columns)
    assert (enlarged == enlarged.round()).all()
    as_image = lambda row, side: np.broadcast_to(row[:, None], (1, side, side, 3)).astype(np.uint8)
    features = extractors.lpips_trunk(trunk, batch_size=1).features
    small, large = features(as_image(columns, 32)), features(as_image(enlarged, 64))
    np.testing.assert_allclose(small, large, rtol=0, atol=1e-5 * large.std())


@pytest.mark.parametrize(
    "images, given",
    [
        (np.zeros((2, 32, 32, 3), "f"), r"float32 \[2, 32, 32, 3\]"),
        (pictures(2, 32, 32), r"uint8 \[2, 32, 32\]"),
        (pictures(2, 32, 32, 4), r"uint8 \[2, 32, 32, 4\]"),
        (pictures(0, 32, 32, 3), r"uint8 \[0, 32, 32, 3\]"),
    ],
)
def test_other_images_are_refused(trunk, images, given):
    with pytest.raises(ValueError, match=rf"images must be uint8 \[N, H, W, 1 or 3\] .*, got {given}"):
        extractors.lpips_trunk(trunk).features(images)


def test_an_empty_batch_is_refused(trunk):
    with pytest.raises(ValueError, match="batch_size: must be 1 or more; got 0"):
        extractors.lpips_trunk(trunk, batch_size=0)


@pytest.mark.slow
def test_trained_features_tell_blurred_digits_from_sharp_ones():
    """Real weights and MNIST from ../shared/data; two sets of sharp digits lie much nearer."""
    features = extractors.lpips_trunk(optional_data("lpips_alexnet_fp16.npz")).features
    with np.load(optional_data("mnist.npz")) as file:
        digits = file["test_image"][:400, :, :, None]
    blurred = (digits.astype(np.float32) + np.roll(digits, 1, axis=1) + np.roll(digits, 1, axis=2)) / 3
    first, second = np.split(features(digits), 2)
    floor = frechet.frechet_distance(first, second)
    assert frechet.frechet_distance(first, features(blurred[200:].astype(np.uint8))) > 2 * floor


def test_vgg16_has_512_features():
    """Real weights from ../shared/data."""
    extractor = extractors.lpips_trunk(optional_data("lpips_vgg16_fp16.npz"), "lpips_vgg16", batch_size=2)
    features = extractor.features(pictures(2, 28, 28, 1))
    assert features.shape == (2, 512) and np.isfinite(features).all() and (features.std(axis=1) > 0).all()
    assert extractor.conventions.startswith("512 features, the last convolution of vgg16")
