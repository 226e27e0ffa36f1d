"""The metrics together tell real data, copies, noise and lost modes apart."""

import numpy as np
import pytest

from diffjax import data
from diffjax.evaluation import classifier, extractors, neighbours, report
from diffjax.evaluation.evaluator import Bench, Evaluator, Reference, Row
from diffjax.evaluation.evaluators import DEFAULTS, EVALUATORS, NAMES, OF_DATA
from diffjax.training.system import label_of


def _bench(reference, gives, only=()):
    names = only or [name for name in DEFAULTS[gives] if name in EVALUATORS]
    return Bench([each for name in names if not reference.lacks((each := EVALUATORS[name]).needs)], reference)


def _of_digits(judge, train, test, **options):
    extractor = classifier.extractor(judge)
    return Reference(train, train, test, extractor, judge.predict, conditional=True, **options)


@pytest.fixture(scope="module")
def against(judge, digits):
    return _bench(_of_digits(judge, *digits), "images")


def _measure(images, asked, against):
    return against.measure(images, {} if asked is None else {"label": asked}, "samples").metrics


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
    """Zeros alone are precise but cover a tenth; asked for ones, no image is of its class.

    Recall is bound by twice their share: the judge is trained here, and each CPU's kernels make another.
    """
    train = digits[0]
    zeros = train.x[train.label == 0]
    share = len(zeros) / len(train.x)
    found = _measure(zeros, np.ones(len(zeros), int), against)
    assert found["precision"] > 0.9 and found["recall"] < 2 * share and found["coverage"] < 0.4
    assert found["frechet_ratio"] > 10 and found["inception_score"] < 1.2 and found["class_accuracy"] < 0.01


def test_noise(against):
    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
    found = _measure(noise, None, against)
    assert found["frechet_ratio"] > 5 and found["kid"] > 5 * found["kid_std"]
    assert found["coverage"] < 0.3 and found["copies"] == 0 and found["density"] < 0.2


def test_noise_is_not_precise_because_it_is_little(judge, digits):
    """Balls around few real examples are wide: all of them are used, however few samples there are."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 1)).astype(np.uint8)
    against = _bench(_of_digits(judge, *digits), "images", only=("prdc",))
    many, few = (_measure(noise[:n], None, against) for n in (1000, 30))
    assert many["precision"] < 0.5
    # 4 standard deviations of 30 tosses; beside 30 real examples it would be 1
    assert few["precision"] < many["precision"] + 4 * np.sqrt(0.25 / 30)
    assert few["density"] < 0.2


def test_few_real_images_are_measured_as_far_as_they_go(judge, digits):
    """What needs more is left out, with a sentence, and nothing else."""
    train, test = digits
    bench = _bench(_of_digits(judge, train.take(np.arange(11)), test.take(np.zeros(1, int))), "images")
    metrics, left_out = bench.measure(test.x[:1], {"label": test.label[:1]}, "held-out real")
    assert metrics.keys() == {
        "count",
        "class_accuracy",
        "inception_score",
        "nearest_median",
        "nearest_low",
        "copies",
        "modes",
    }
    assert left_out == (
        "frechet needs at least 4 examples, there is 1 (held-out real)",
        "kid needs at least 4 examples, there is 1 (held-out real)",
        "prdc needs at least 6 examples, there is 1 (held-out real)",
        "duplicates needs at least 3 examples, there is 1 (held-out real)",
    )
    metrics, left_out = bench.measure(test.x[:20], {}, "samples")
    assert (
        not left_out
        and np.isfinite([metrics[key] for key in ("frechet", "kid", "precision", "coverage")]).all()
    )
    bench = _bench(_of_digits(judge, train.take(np.arange(3)), test), "images")
    metrics, left_out = bench.measure(test.x[:20], {}, "samples")
    assert "frechet" not in metrics and "copies" in metrics
    assert left_out[0] == "frechet needs at least 4 examples, there are 3 (real examples to compare with)"


def test_equal_images_have_no_floor_to_divide_by(judge, digits):
    same = digits[0].take(np.zeros(12, int))
    found = _measure(same.x, None, _bench(_of_digits(judge, same, same), "images"))
    assert found["frechet"] < 1e-6 and "frechet_ratio" not in found
    assert found["nearest_median"] == 0


def test_classes_of_a_request():
    assert label_of({}) is None and label_of({"text": np.zeros((2, 3))}) is None
    np.testing.assert_array_equal(label_of({"up": {}, "base": {"label": np.arange(3)}}), [0, 1, 2])


def test_an_evaluator_is_added_by_its_file_and_the_listing():
    """What it gives is in the table once its rows are."""
    mean = Evaluator(
        "mean", lambda reference: lambda x: {"mean": x.x.mean()}, (Row("mean", "mean", "{:.1f}"),)
    )
    points = data.load("ring8", num_examples=10)
    metrics = Bench([mean], Reference(points, points, points)).measure(np.ones((3, 2)), {}, "").metrics
    assert metrics == {"count": 3, "mean": 1}
    assert set(NAMES) == {*EVALUATORS, *OF_DATA} and all(
        set(names) <= set(NAMES) for names in DEFAULTS.values()
    )
    keys = [row.key for row in report.ROWS]
    assert len(keys) == len(set(keys))


def _points(name, split, count=2500):
    return data.load(name, split, num_examples=count)


def _measure_points(x, asked, real, only=()):
    classify = None if real.label is None else lambda x: real.label[neighbours.nearest(x, real.x)[0]]
    reference = Reference(real, real, real, extractors.coordinates(), classify)
    return _measure(x, asked, _bench(reference, "points", only))


def test_points_of_the_data():
    points, real = _points("ring8", "train"), _points("ring8", "test")
    found = _measure_points(points.x, points.label, real)
    assert found["class_accuracy"] > 0.99 and found["sliced_wasserstein"] < 0.06
    np.testing.assert_allclose(found["weights"], np.arange(1, 9) / 36, atol=0.02)
    np.testing.assert_allclose(found["density"], 1, atol=0.05)


def test_points_that_miss_a_mode():
    points, real = _points("ring8", "train"), _points("ring8", "test")
    most = points.x[points.label != 7]  # of weight 8/36
    found = _measure_points(np.resize(most, points.x.shape), None, real)
    assert found["weights_off"] == pytest.approx(8 / 36, abs=0.02) and found["weights"][7] < 1e-3
    assert found["modes"] == 7
    assert found["precision"] > 0.95 and found["sliced_wasserstein"] > 0.15
    assert found["coverage"] == pytest.approx(28 / 36, abs=0.03)


def test_few_points_that_come_again_and_again():
    """A tenth of them, each ten times: all modes are reached, by duplicates of one another."""
    points, real = _points("ring8", "train"), _points("ring8", "test")
    names = "modes", "duplicates"
    found = _measure_points(points.x, None, real, names)
    assert found["modes"] == 8 and found["duplicates"] == pytest.approx(0.01, abs=0.006)
    again = _measure_points(np.repeat(points.x[:250], 10, axis=0), None, real, names)
    assert again["modes"] == 8 and again["duplicates"] == 1


def test_points_between_the_modes():
    """The same mass on every side, but smeared along the ring: density tells."""
    points, real = _points("ring8", "train", 4000), _points("ring8", "test", 4000)
    turn = np.random.default_rng(0).uniform(-np.pi / 8, np.pi / 8, len(points))
    smeared = np.stack([np.cos(turn) * points.x[:, 0] - np.sin(turn) * points.x[:, 1],
                        np.sin(turn) * points.x[:, 0] + np.cos(turn) * points.x[:, 1]], axis=1)  # fmt: skip
    found = _measure_points(smeared, None, real, ("prdc", "components"))
    assert found["density"] < 0.8 and found["weights_off"] < 0.03


def test_points_without_components():
    found = _measure_points(_points("checkerboard", "train").x, None, _points("checkerboard", "test"),
                            ("components", "sliced_wasserstein"))  # fmt: skip
    assert "weights" not in found and 0 < found["sliced_wasserstein"] < 0.06


def test_table():
    columns = {"real": {"count": 1437, "frechet": 1.25}, "w = 0": {"count": 90, "weights": [0.5, 0.25]}}
    assert report.table(columns).splitlines() == [
        "| | real | w = 0 |",
        "|---|---:|---:|",
        "| number | 1,437 | 90 |",
        "| Fréchet distance to the training set | 1.250 | – |",
        "| weights of the components | – | 0.500 0.250 |",
    ]
