"""The metrics together tell real data, copies, noise and lost modes apart."""

import numpy as np
import pytest

from diffjax import data
from diffjax.evaluation import report


@pytest.fixture(scope="module")
def against(judge, digits):
    return report.judge(judge, *digits, np.random.default_rng(0), conditional=True)


def _measure(images, asked, against):
    return report.measure_images(images, asked, against, np.random.default_rng(0))


def test_held_out_digits_are_real(judge, against, digits):
    test = digits[1]
    found = _measure(test.x, test.label, against)
    assert found["count"] == 360 and found["class_accuracy"] == judge.accuracy
    # 360 against 1,437: (1 / 360 + 1 / 1437) / (4 / 1437) = 1.25 floors, and a little for being unseen.
    assert 0.5 < found["frechet_ratio"] < 2
    assert abs(found["kid"]) < 2 * found["kid_std"]
    assert found["precision"] > 0.9 and found["recall"] > 0.9 and found["coverage"] > 0.9
    assert found["copies"] == pytest.approx(0.01, abs=0.005)


def test_copies_of_the_training_set(against, digits):
    found = _measure(digits[0].x, None, against)
    assert found["frechet"] < 1e-9 and found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["nearest_median"] == 0 and found["copies"] == 1
    assert "class_accuracy" not in found


def test_one_class_only(against, digits):
    """Zeros alone are precise but cover a tenth; asked for ones, no image is of its class."""
    train = digits[0]
    zeros = train.x[train.label == 0]
    found = _measure(zeros, np.ones(len(zeros)), against)
    assert found["precision"] > 0.9 and found["recall"] < 0.15 and found["coverage"] < 0.4
    assert found["frechet_ratio"] > 10 and found["inception_score"] < 1.2 and found["class_accuracy"] < 0.01


def test_noise(against):
    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
    found = _measure(noise, None, against)
    assert found["frechet_ratio"] > 5 and found["kid"] > 5 * found["kid_std"]
    assert found["coverage"] < 0.3 and found["copies"] == 0


def test_points_of_the_data_and_points_that_miss_a_mode():
    fresh = data.load("ring8", "test", num_examples=8000)
    points = data.load("ring8", "train", num_examples=4000)
    measure = lambda x, asked: report.measure_points(x, asked, fresh, np.random.default_rng(0))
    good = measure(points.x, points.label)
    assert 0.3 < good["sliced_wasserstein_ratio"] < 2 and good["class_accuracy"] > 0.99
    np.testing.assert_allclose(good["weights"], np.arange(1, 9) / 36, atol=0.02)
    most = points.label != 7  # of weight 8/36
    bad = measure(np.resize(points.x[most], (4000, 2)), None)
    assert bad["sliced_wasserstein_ratio"] > 5
    assert bad["weights_off"] == pytest.approx(8 / 36, abs=0.02) and bad["weights"][7] == 0


def test_points_without_components():
    fresh = data.load("checkerboard", "test", num_examples=200)
    found = report.measure_points(fresh.x[100:], None, fresh, np.random.default_rng(0))
    assert set(found) == {"count"} | {f"sliced_wasserstein{end}" for end in ("", "_floor", "_ratio")}
    with pytest.raises(
        ValueError, match="fresh must hold 100 points, twice as many as there are samples; got 200"
    ):
        report.measure_points(fresh.x[:50], None, fresh, np.random.default_rng(0))


def test_table():
    columns = {"real": {"count": 1437, "frechet": 1.25}, "w = 0": {"count": 90, "weights": [0.5, 0.25]}}
    assert report.table(columns).splitlines() == [
        "| | real | w = 0 |",
        "|---|---:|---:|",
        "| number | 1,437 | 90 |",
        "| Fréchet distance to the training set | 1.250 | – |",
        "| weights of the components | – | 0.500 0.250 |",
    ]
