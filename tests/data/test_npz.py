"""Image files: what is read, and what is said when they are wrong."""

import re

import numpy as np
import pytest

from diffjax.data import npz

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(256, size=(6, 5, 4), dtype=np.uint8)
TEST = RNG.integers(256, size=(3, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 2, 0, 1], np.uint8)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "images.npz"
    arrays = {"train_image": TRAIN, "train_label": LABELS, "test_image": TEST, "test_label": LABELS[:3]}
    np.savez(file, **arrays, images=np.stack([TRAIN] * 3, -1), labels=LABELS.astype(np.int64))
    return file


def test_split_keys(path):
    train, test = npz.read(path), npz.read(path, "test")
    np.testing.assert_array_equal(train.x, TRAIN[..., None])
    np.testing.assert_array_equal(test.x, TEST[..., None])
    np.testing.assert_array_equal(train.label, LABELS)
    assert train.label.dtype == np.int32 and train.num_classes == 3
    assert train.x.dtype == np.uint8 and train.shape == (5, 4, 1)


def test_plain_keys_in_colour(path):
    source = npz.read(path, images="images", labels="labels", num_classes=10)
    np.testing.assert_array_equal(source.x[..., 2], TRAIN)
    assert source.num_classes == 10 and source.label.dtype == np.int32


def test_labels_may_be_left_out(path):
    source = npz.read(path, images="images", labels=None)
    assert source.label is None and source.num_classes is None


def test_a_file_a_split(path, tmp_path):
    np.savez(tmp_path / "set_test.npz", images=TEST)
    source = npz.read(tmp_path / "set_{split}.npz", "test", images="images", labels=None)
    np.testing.assert_array_equal(source.x[..., 0], TEST)


def test_plain_keys_have_one_split(path):
    with pytest.raises(ValueError, match=r'split must be "train" .* got "test"'):
        npz.read(path, "test", images="images", labels="labels")


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"path must be an existing \.npz file, got .*nothing\.npz"):
        npz.read(tmp_path / "nothing.npz")


def test_other_format(tmp_path):
    np.save(tmp_path / "array.npy", TRAIN)
    with pytest.raises(ValueError, match=r"path must be an \.npz file, got a file of another format"):
        npz.read(tmp_path / "array.npy")


@pytest.mark.parametrize("field, key", [("images", "validation_image"), ("labels", "digit")])
def test_missing_key_lists_those_present(path, field, key):
    present = "images, labels, test_image, test_label, train_image, train_label"
    with pytest.raises(ValueError, match=f'{field} "{key}" is not in .*images.npz, which holds {present}'):
        npz.read(path, **{field: key})


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (TRAIN.astype(np.float32), LABELS, "uint8 [N, H, W] or [N, H, W, C], got float32 (6, 5, 4)"),
        (TRAIN[0], LABELS, "images must be uint8 [N, H, W] or [N, H, W, C], got uint8 (5, 4)"),
        (TRAIN, LABELS.astype(np.float32), "labels must be integers [6], got float32 (6,)"),
        (TRAIN, LABELS[:4], "labels must be integers [6], got uint8 (4,)"),
        (TRAIN, LABELS.astype(np.int64) - 1, "label must be in 0..1, got values from -1 to 1"),
        (TRAIN[:0], LABELS[:0], "x must hold at least one example"),
    ],
)
def test_wrong_arrays(tmp_path, images, labels, message):
    np.savez(tmp_path / "bad.npz", train_image=images, train_label=labels)
    with pytest.raises(ValueError, match=re.escape(message)):
        npz.read(tmp_path / "bad.npz")


def test_named_arrays_and_class_names(tmp_path):
    captions, embedding = np.array([f"a {i}" for i in range(6)]), RNG.standard_normal((6, 2, 3))
    arrays = {
        "train_caption": captions,
        "train_text_embedding": embedding,
        "train_tokens": np.arange(12).reshape(6, 2),
    }
    names = np.array(["cat", "dog", "emu", "fox"])
    np.savez(tmp_path / "set.npz", train_image=TRAIN, train_label=LABELS, class_names=names, **arrays)
    source = npz.read(tmp_path / "set.npz", arrays=("caption", "text_embedding", "tokens"))
    assert source.class_names == ("cat", "dog", "emu", "fox") and source.num_classes == 4
    assert source["caption"].tolist() == captions.tolist()
    np.testing.assert_array_equal(source["text_embedding"], embedding.astype(np.float32))
    assert source["tokens"].dtype == np.int32 and source["text_embedding"].dtype == np.float32
    assert npz.read(tmp_path / "set.npz").arrays == {}
    assert npz.read(tmp_path / "set.npz", labels=None).class_names is None
    with pytest.raises(
        ValueError, match=r'tokes "train_tokes" is not in .*set\.npz, which holds class_names, '
    ):
        npz.read(tmp_path / "set.npz", arrays=("tokes",))
    with pytest.raises(ValueError, match=r"npz\.read: arrays must be .*, got 'caption'"):
        npz.read(tmp_path / "set.npz", arrays="caption")
    with pytest.raises(ValueError, match="class_names must be 3 different names, got cat, dog, emu, fox"):
        npz.read(tmp_path / "set.npz", num_classes=3)


def test_arrays_of_a_file_of_one_split(tmp_path):
    arrays = {"caption": LABELS.astype(str), "kind_names": np.array(["a", "b", "c"])}
    np.savez(tmp_path / "set.npz", image=TRAIN, kind=LABELS, **arrays)
    options = {"images": "image", "labels": "kind", "arrays": ("caption",), "label_names": "kind_names"}
    source = npz.read(tmp_path / "set.npz", **options)
    assert source["caption"].tolist() == LABELS.astype(str).tolist() and source.class_names == ("a", "b", "c")
    with pytest.raises(ValueError, match='label_names "kinds" is not in '):
        npz.read(tmp_path / "set.npz", **options | {"label_names": "kinds"})


def test_numbers_that_do_not_fit_into_a_device_are_refused(tmp_path):
    np.savez(tmp_path / "set.npz", train_image=TRAIN, train_label=LABELS, train_id=np.arange(6) * 2**30)
    with pytest.raises(ValueError, match=r"id in .*set\.npz must fit into int32, got 0 to 5368709120"):
        npz.read(tmp_path / "set.npz", arrays=("id",))


def test_four_channels_are_refused_before_training(tmp_path):
    np.savez(tmp_path / "set.npz", train_image=np.stack([TRAIN] * 4, -1), train_label=LABELS)
    with pytest.raises(ValueError, match=r"set\.npz: uint8 images must have 1 channel or 3, got 4 in shape"):
        npz.read(tmp_path / "set.npz")


def test_latents_are_floats_that_a_model_sees_as_they_are(tmp_path):
    latents = 9 * RNG.standard_normal((6, 5, 4, 4)).astype(np.float16)
    np.savez(tmp_path / "set.npz", train_latent=latents, train_label=LABELS)
    source = npz.read(tmp_path / "set.npz", images="{split}_latent")
    assert source.x.dtype == np.float32 and source.shape == (5, 4, 4) and source.num_classes == 3
    np.testing.assert_array_equal(source.gather(np.arange(2))["x"], latents[:2].astype(np.float32))


def _both(tmp_path, **changes):
    test, out = np.array([0, 1, 0, 1, 1, 0], bool), np.array([0, 0, 1, 1, 0, 0], bool)
    arrays = {"image": TRAIN, "kind": LABELS, "is_test": test, "again": out, "caption": LABELS.astype(str)}
    np.savez(tmp_path / "set.npz", **arrays | changes)
    options = {"images": "image", "labels": "kind", "arrays": ("caption",), "is_test": "is_test"}
    return {"path": tmp_path / "set.npz", "left_out": "again", **options}


@pytest.mark.parametrize("split, rows", [("train", [0, 5]), ("test", [1, 4])])
def test_splits_told_apart_by_an_array(tmp_path, split, rows):
    source = npz.read(split=split, **_both(tmp_path))
    np.testing.assert_array_equal(source.x[..., 0], TRAIN[rows])
    np.testing.assert_array_equal(source.label, LABELS[rows])
    assert source["caption"].tolist() == LABELS[rows].astype(str).tolist() and source.num_classes == 3


def test_one_kind_of_pictures_alone(tmp_path):
    options = {**_both(tmp_path, vendor=np.array([1, 1, 0, 0, 0, 0], np.uint8)), "only": ("vendor", 0)}
    np.testing.assert_array_equal(npz.read(split="train", **options).x[..., 0], TRAIN[[5]])
    np.testing.assert_array_equal(npz.read(split="test", **options).x[..., 0], TRAIN[[4]])
    with pytest.raises(ValueError, match='is_test and left_out and only leave no example for "train" in '):
        npz.read(**{**options, "only": ("vendor", 7)})
    with pytest.raises(ValueError, match=r"only must be integers \[6\], got bool \(6,\) in "):
        npz.read(**{**options, "only": ("again", 0)})


def test_what_is_left_out_of_a_split_with_keys_of_its_own(tmp_path):
    np.savez(tmp_path / "set.npz", test_image=TRAIN, test_again=np.arange(6) > 1)
    options = {"images": "{split}_image", "labels": None, "left_out": "{split}_again"}
    np.testing.assert_array_equal(npz.read(tmp_path / "set.npz", "test", **options).x[..., 0], TRAIN[:2])


@pytest.mark.parametrize(
    "changes, split, message",
    [
        ({"is_test": LABELS}, "train", r"is_test must be bool \[6\], got uint8 \(6,\) in .*set\.npz"),
        ({"again": np.ones(5, bool)}, "test", r"left_out must be bool \[6\], got bool \(5,\) in "),
        ({"again": np.ones(6, bool)}, "test", 'is_test and left_out leave no example for "test" in '),
        ({}, "validation", r'is_test tells "train" and "test" of one file apart, got split "validation" of '),
    ],
)
def test_splits_that_cannot_be_told_apart(tmp_path, changes, split, message):
    with pytest.raises(ValueError, match=message):
        npz.read(split=split, **_both(tmp_path, **changes))
