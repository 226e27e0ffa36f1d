"""Sets that TFDS has prepared: found by name and read without TensorFlow."""

import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import EpsImagePlugin, Image

from diffjax import data
from diffjax.data import prepared

RNG = np.random.default_rng(0)
CIFAR = {"train": RNG.integers(256, size=(30, 32, 32, 3), dtype=np.uint8)}
CIFAR["test"] = RNG.integers(256, size=(7, 32, 32, 3), dtype=np.uint8)
FACES = RNG.integers(256, size=(4, 22, 18, 3), dtype=np.uint8)


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file


def _builder(name, version, features, splits, config=None):
    """A builder of images as TFDS's own sets have them: PNG files in records."""

    class Fake(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [] if config is None else [tfds.core.BuilderConfig(name=config)]

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(rows) for split, rows in splits.items()}

        def _generate_examples(self, rows):
            yield from enumerate(rows)

    Fake.name = name
    return Fake


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    image, label = tfds.features.Image, tfds.features.ClassLabel
    cifar = {"id": tfds.features.Text(), "image": image(shape=(32, 32, 3)), "label": label(num_classes=10)}
    rows = {
        split: [{"id": str(i), "image": _png(each), "label": i % 10} for i, each in enumerate(images)]
        for split, images in CIFAR.items()
    }
    small = {"image": image(shape=(8, 8, 3)), "label": label(num_classes=1000)}
    tiny = {"validation": [{"image": _png(CIFAR["test"][0, :8, :8]), "label": 999}]}
    faces = {"image": image(shape=(None, None, 3)), "age": np.int64}
    builders = [
        _builder("cifar10", "3.0.2", cifar, rows),
        _builder("cifar10", "3.0.10", cifar, {"train": rows["test"]}),
        _builder("imagenet_resized", "0.1.0", small, tiny, "8x8"),
        _builder("imagenet_resized", "0.1.0", small, tiny, "16x16"),
        _builder("faces", "1.0.0", faces, {"people": [{"image": _png(each), "age": 3} for each in FACES]}),
    ]
    for make in builders:
        make(data_dir=root).download_and_prepare(file_format="array_record")
    return root


def _rows(source, expected):
    """Which row of `expected` each image is: TFDS shuffles as it writes."""
    index = {pixels.tobytes(): i for i, pixels in enumerate(expected)}
    return [index[pixels.tobytes()] for pixels in np.asarray(source.x)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_set_by_name(data_dir, split):
    source = data.load("cifar10/3.0.2", split, data_dir=data_dir)
    rows = _rows(source, CIFAR[split])
    assert sorted(rows) == list(range(len(CIFAR[split])))
    assert source.label.tolist() == [row % 10 for row in rows]
    assert source.num_classes == 10 and source.shape == (32, 32, 3) and source.label.dtype == np.int32


def test_the_latest_version_is_read(data_dir):
    assert len(data.load("cifar10", data_dir=data_dir)) == 7


def test_the_directory_comes_from_the_environment(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(data.load("cifar10/3.0.2")) == 30


def test_a_config_of_a_set_whose_test_split_has_another_name(data_dir):
    source = data.load("imagenet_resized/8x8", "test", data_dir=data_dir, test="validation")
    np.testing.assert_array_equal(source.x[0], CIFAR["test"][0, :8, :8])
    assert source.label.tolist() == [999] and source.num_classes == 1000


def test_slices_make_splits(data_dir):
    options = {"data_dir": data_dir, "train": "train[:20]", "test": "train[20:]"}
    whole = data.load("cifar10/3.0.2", data_dir=data_dir)
    for split, part in (("train", slice(20)), ("test", slice(20, 30))):
        found = data.load("cifar10/3.0.2", split, **options)
        np.testing.assert_array_equal(found.x, whole.x[part])
        np.testing.assert_array_equal(found.label, whole.label[part])
    assert len(data.load("cifar10/3.0.2", "train[:50%]", data_dir=data_dir)) == 15


def test_images_are_made_square(data_dir):
    source = data.load("faces", "people", data_dir=data_dir, label=None, size=18)
    assert source.shape == (18, 18, 3) and source.label is None
    assert sorted(_rows(source, FACES[:, 2:20])) == list(range(4))


def test_batches_come_from_disk(data_dir):
    source = data.load("cifar10/3.0.2", data_dir=data_dir)
    batch = next(data.batches(source, 30, seed=0))
    pixels = data.to_uint8(batch["x"])
    rows = _rows(data.Source(pixels), CIFAR["train"])
    assert sorted(rows) == list(range(30)) and batch["label"].tolist() == [row % 10 for row in rows]


@pytest.mark.parametrize(
    "name, split, options, message",
    [
        (
            "faces",
            "people",
            {"size": 18},
            'label must be a feature of faces, of .*age.*; got "label"; None reads no labels',
        ),
        ("faces", "people", {"size": 18, "label": "age"}, 'label: feature "age" of faces holds no classes'),
        (
            "faces",
            "people",
            {"label": None},
            "size must be given, as the images of faces have no fixed shape",
        ),
        ("faces", "people", {"image": "age"}, 'feature "age" of faces must be uint8 .* it is int64'),
        ("cifar10", "train", {"image": "picture"}, 'image must be a feature of cifar10, .* got "picture"$'),
        ("cifar10", "test", {}, 'split must be one of train or a slice of it, got "test"'),
        ("cifar10", "train[:0]", {}, r'split must be one of .* got "train\[:0\]"'),
        ("cifar10", "train[:1000]", {}, r'split must be one of .* got "train\[:1000\]"'),
        ("cifar10/3.0.2", "train[5", {}, r'split must be one of test, train .* got "train\[5"'),
        ("imagenet_resized", "train", {}, "say which, of imagenet_resized/16x16, imagenet_resized/8x8"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir, name, split, options, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, split, data_dir=data_dir, **options)


@pytest.mark.parametrize("name", ["cifar10", "imagenet_resized/64x64", "celeb_a"])
def test_what_is_not_prepared_says_how(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is not prepared in {tmp_path}") as caught:
        data.load(name, data_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message and "diffjax[tfds]" in message
    command = re.search(r'`python -c "(.*)"`', message).group(1)
    compile(command, "command", "exec")
    assert f"'{name}', data_dir='{tmp_path}'" in command and "file_format='array_record'" in command


def test_the_advice_prepares_a_set(tmp_path, monkeypatch):
    """Run the advice on the digits, which need neither TensorFlow nor a network."""
    from diffjax.data import digits

    command = re.search(r'`python -c "(.*)"`', prepared._how("digits", tmp_path)).group(1)
    monkeypatch.setattr(tfds, "builder", lambda name, **options: digits.Digits(**options))
    exec(command)
    assert len(prepared.read("digits", data_dir=tmp_path)) == 1437


def test_another_format_is_named(data_dir, tmp_path):
    shutil.copytree(data_dir / "cifar10/3.0.2", tmp_path / "cifar10/3.0.2")
    info = tmp_path / "cifar10/3.0.2/dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(
        ValueError, match=r"prepared as tfrecord in .*: choose another data_dir and run `python"
    ):
        data.load("cifar10", data_dir=tmp_path)


def test_half_prepared_is_not_prepared(data_dir, tmp_path):
    shutil.copytree(data_dir / "cifar10/3.0.2", tmp_path / "cifar10/incomplete.1234_3.0.2")
    (tmp_path / "cifar10/3.0.2").mkdir()
    with pytest.raises(ValueError, match="cifar10 is not prepared"):
        data.load("cifar10", data_dir=tmp_path)


def _features(data_dir, tmp_path, change):
    """A copy of a set whose features.json reads otherwise."""
    path = shutil.copytree(data_dir / "cifar10/3.0.2", tmp_path / "cifar10/3.0.2") / "features.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _poem(features):
    features["pythonClassName"] = "this.FeaturesDict"
    return features


def _poem_of_old(features):
    return {"type": "this.FeaturesDict", "content": {}}


def _poem_within(features):
    """JSON in a string in JSON, of which TFDS makes features again."""
    inner = json.dumps({"image": {"type": "this.Image", "content": {}}})
    return {"python_class_name": features["pythonClassName"], "jsonFeature": {"json": inner}}


def _poem_of_a_feature(features):
    features["featuresDict"]["features"]["label"]["pythonClassName"] = "this.ClassLabel"
    return features


@pytest.mark.parametrize("change", [_poem, _poem_of_old, _poem_within, _poem_of_a_feature])
def test_no_module_that_a_set_names_is_imported(data_dir, tmp_path, change, monkeypatch):
    """Python's own `this` prints a poem when imported; it could be any file in the working directory."""
    monkeypatch.delitem(sys.modules, "this", raising=False)
    _features(data_dir, tmp_path, change)
    with pytest.raises(
        ValueError, match=r"3\.0\.2/features\.json names the class this\.\w+, which is not one"
    ):
        data.load("cifar10", data_dir=tmp_path)
    assert "this" not in sys.modules


def test_a_count_of_records_that_is_wrong_is_told(data_dir, tmp_path):
    path = shutil.copytree(data_dir / "cifar10/3.0.2", tmp_path / "cifar10/3.0.2") / "dataset_info.json"
    path.write_text(path.read_text().replace('"30"', '"20"'))
    assert len(data.load("cifar10", "test", data_dir=tmp_path)) == 7
    for split in ("train", "train[:5]", "all"):
        with pytest.raises(
            ValueError, match=r"3\.0\.2 is damaged .*: cifar10-train\S* should hold 20 records, not 30"
        ):
            data.load("cifar10", split, data_dir=tmp_path)


def test_moved_sets_are_the_same_data(data_dir, tmp_path):
    shutil.copytree(data_dir / "cifar10/3.0.2", tmp_path / "cifar10/3.0.2")
    read = lambda where, split="train[:7]": data.load("cifar10/3.0.2", split, data_dir=where).fingerprint()
    assert read(tmp_path) == read(data_dir)
    assert len({read(data_dir, split) for split in ("train[:7]", "train[7:14]", "test")}) == 3


def test_texts_and_numbers_beside_the_images(data_dir):
    source = data.load("cifar10/3.0.2", data_dir=data_dir, arrays=("id",))
    assert source["id"].tolist() == [str(row) for row in _rows(source, CIFAR["train"])]
    options = {"data_dir": data_dir, "label": None, "size": 18, "arrays": ("age",)}
    faces = data.load("faces", "people", **options)
    assert faces["age"].tolist() == [3] * 4 and faces["age"].dtype == np.int32
    with pytest.raises(ValueError, match=r'arrays must be a feature of faces, of .*age.*; got "old"'):
        data.load("faces", "people", **options | {"arrays": ("old",)})


def test_classes_have_names(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(names=["dog", "cat"]),
    }
    rows = {"train": [{"image": _png(CIFAR["test"][0, :8, :8]), "label": "cat"}]}
    _builder("pets", "1.0.0", features, rows)(data_dir=tmp_path).download_and_prepare(
        file_format="array_record"
    )
    source = data.load("pets", data_dir=tmp_path)
    assert source.class_names == ("dog", "cat") and source.label.tolist() == [1]


def test_records_of_formats_that_start_programs_are_refused(data_dir, tmp_path, monkeypatch):
    """Pillow reads EPS by running Ghostscript."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: started.append(args))
    file = io.BytesIO()
    Image.fromarray(CIFAR["test"][0, :8, :8]).save(file, "EPS")
    features = {"image": tfds.features.Image(shape=(8, 8, 3))}
    builder = _builder("posters", "1.0.0", features, {"train": [{"image": io.BytesIO(file.getvalue())}]})
    builder(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    source = data.load("posters", data_dir=tmp_path, label=None)
    with pytest.raises(
        ValueError, match=r'"image" in .*posters/1\.0\.0 cannot .*: it is none of PNG, JPEG, WEBP'
    ):
        source.x[0]
    assert not started
