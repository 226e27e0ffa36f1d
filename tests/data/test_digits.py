"""The digits on disk against scikit-learn's arrays, and what happens when preparing them goes wrong."""

import concurrent.futures
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from diffjax.data import digits


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    digits.prepare(directory)
    return directory


def _expected(split):
    """The documented rule in plain Python: indices of a split, in scikit-learn's order."""
    target = datasets.load_digits().target.tolist()
    by_class = [index for label in range(10) for index in range(1797) if target[index] == label]
    return [i for i in range(1797) if (by_class.index(i) % 5 == 0) == (split == "test")]


@pytest.mark.parametrize("split, size", [("train", 1437), ("test", 360)])
def test_splits_are_scikit_learns_arrays(data_dir, split, size):
    source = digits.read(split, data_dir)
    reference = datasets.load_digits()
    indices = _expected(split)
    assert len(source) == len(indices) == size
    assert source.x.dtype == np.uint8 and source.shape == (8, 8, 1) and source.num_classes == 10
    expected = [[[round(v * 255 / 16) for v in row] for row in reference.images[i].tolist()] for i in indices]
    np.testing.assert_array_equal(source.x[..., 0], expected)
    np.testing.assert_array_equal(source.label, reference.target[indices])
    assert source.x.max() == 255 and source.x.min() == 0


def test_split_is_stratified(data_dir):
    everything = np.bincount(datasets.load_digits().target)
    test = np.bincount(digits.read("test", data_dir).label)
    assert np.all(np.abs(test - everything / 5) < 1)


def test_tfds_slices_work(data_dir):
    whole, part = digits.read("train", data_dir), digits.read("train[100:110]", data_dir)
    np.testing.assert_array_equal(part.x, whole.x[100:110])


def test_unknown_split_is_refused(data_dir):
    with pytest.raises(ValueError, match=r'split must be one of test, train .* got "validation"'):
        digits.read("validation", data_dir)


def test_data_dir_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(digits.read("test")) == 360
    assert (tmp_path / "digits" / "1.0.0" / "dataset_info.json").exists()


def test_failed_prepare_leaves_nothing_and_the_next_recovers(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load_digits", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            digits.read("train", tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["digits"]
    assert len(digits.read("train", tmp_path)) == 1437


@pytest.mark.parametrize("leftover", [[], ["features.json", "digits-train.array_record-00000-of-00001"]])
def test_incomplete_directory_is_replaced(tmp_path, leftover):
    target = tmp_path / "digits" / "1.0.0"
    target.mkdir(parents=True)
    for name in leftover:
        (target / name).write_text("torn")
    assert len(digits.read("test", tmp_path)) == 360
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]


def test_prepare_keeps_what_a_quicker_process_wrote(tmp_path, monkeypatch):
    target = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
    slow = digits.Digits.download_and_prepare

    def overtaken(builder, **options):
        slow(builder, **options)
        monkeypatch.undo()
        digits.prepare(tmp_path)
        overtaken.inode = target.stat().st_ino

    monkeypatch.setattr(digits.Digits, "download_and_prepare", overtaken)
    digits.prepare(tmp_path)
    assert target.stat().st_ino == overtaken.inode
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]
    assert len(digits.read("test", tmp_path)) == 360


def test_processes_may_prepare_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(digits.prepare, [tmp_path] * 2))
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]
    assert len(digits.read("train", tmp_path)) == 1437


def test_imports_stay_light(tmp_path):
    script = """
import sys
from diffjax import data
for name in ("tensorflow_datasets", "grain", "PIL", "sklearn", "array_record", "matplotlib"):
    assert name not in sys.modules, f"{name} was imported before digits were asked for"
assert len(data.load("digits", data_dir=sys.argv[1])) == 1437
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
"""
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_jax_and_numpy_are_enough_for_points_and_archives(tmp_path):
    np.savez(tmp_path / "set.npz", train_image=np.zeros((3, 4, 4), np.uint8))
    script = """
import sys
for name in ("tensorflow_datasets", "grain", "PIL", "sklearn", "array_record", "matplotlib", "flax", "optax",
             "ml_collections"):
    sys.modules[name] = None  # importing it is an ImportError
import numpy as np
from diffjax import data
assert len(list(data.epoch(data.load("npz", path=sys.argv[1], labels=None), 2))) == 2
assert data.load("ring8", num_examples=9).take(np.arange(4)).shape == (2,)
try:
    data.batches(data.load("ring8", num_examples=9), 3, seed=0)
except ImportError as error:
    assert "grain" in str(error)
"""
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "set.npz"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_no_place_says_which_settings_name_one():
    with pytest.raises(
        OSError, match=r"no place for the digits: .*/dev/null.*; say where by data_dir or TFDS_DATA_DIR"
    ):
        digits.read("train", "/dev/null/tensorflow_datasets")
