"""Folders of image files: which files, in which order, of which class and split, and how they are decoded."""

import re

import numpy as np
import pytest
from PIL import Image

from diffjax import data
from diffjax.data import folder
from diffjax.data.squares import square

RNG = np.random.default_rng(0)


def _save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def _grey(value, side=4):
    return np.full((side, side), value, np.uint8)


def _values(source):
    """The grey levels of images of one colour: which file each is."""
    return np.asarray(source.x)[:, 0, 0, 0].tolist()


@pytest.fixture
def tree(tmp_path):
    """Grey level 10 i for the i-th file in the order of paths; two classes of six and four images."""
    names = [f"cat/{i}.png" for i in range(3)] + [f"cat/more/{i}.PNG" for i in range(3)]
    names += [f"dog/{i}.png" for i in range(4)]
    for i, name in enumerate(names):
        _save(tmp_path / "set" / name, _grey(10 * i))
    (tmp_path / "set/cat/notes.txt").write_text("not an image")
    (tmp_path / "set/cat/._0.png").write_bytes(b"what a Mac leaves behind")
    _save(tmp_path / "set/.cache/0.png", _grey(255))
    return tmp_path / "set"


def test_every_image_once_in_the_order_of_paths(tree):
    source = data.load("folder", path=tree, size=4, channels=1, held_out=0)
    assert _values(source) == [10 * i for i in range(10)]
    assert source.shape == (4, 4, 1) and source.label is None and source.name == "set/train"


def test_classes_are_first_subfolders(tree):
    source = folder.read(tree, size=4, channels=1, labels=True, held_out=0)
    assert source.label.tolist() == [0] * 6 + [1] * 4 and source.num_classes == 2


@pytest.mark.parametrize("held_out, tests", [(0.1, [0]), (0.3, [0, 3, 6]), (0.5, [0, 2, 4, 6, 8])])
def test_held_out_images_are_spread_evenly(tree, held_out, tests):
    options = {"size": 4, "channels": 1, "labels": True, "held_out": held_out}
    test, train = folder.read(tree, "test", **options), folder.read(tree, "train", **options)
    assert _values(test) == [10 * i for i in tests]
    assert sorted(_values(test) + _values(train)) == [10 * i for i in range(10)]
    assert test.num_classes == train.num_classes == 2
    assert test.label.tolist() == [int(i >= 6) for i in tests]


@pytest.mark.parametrize("names", [{}, {"train": "training", "test": "val"}])
def test_subfolders_of_splits(tmp_path, names):
    train, test = names.get("train", "train"), names.get("test", "test")
    for value, name in enumerate([f"{train}/a/0.png", f"{train}/b/0.png", f"{test}/b/0.png"]):
        _save(tmp_path / name, _grey(value))
    options = {"size": 4, "channels": 1, "labels": True, **names}
    found = {split: folder.read(tmp_path, split, **options) for split in ("train", "test")}
    assert _values(found["train"]) == [0, 1] and found["train"].label.tolist() == [0, 1]
    assert _values(found["test"]) == [2] and found["test"].label.tolist() == [1]
    assert found["test"].num_classes == 2


def test_pixels_of_lossless_files_are_exact(tmp_path):
    pixels = RNG.integers(256, size=(8, 8, 3), dtype=np.uint8)
    for name in ("a.png", "b.bmp", "c.webp"):
        _save(tmp_path / name, pixels, **({"lossless": True} if name.endswith("webp") else {}))
    _save(tmp_path / "d.jpeg", np.full((8, 8, 3), [200, 30, 90], np.uint8), quality=95)
    source = folder.read(tmp_path, size=8, held_out=0)
    np.testing.assert_array_equal(source.x[:3], np.stack([pixels] * 3))
    assert np.abs(source.x[3].astype(int) - [200, 30, 90]).max() <= 3
    batch = source.gather(np.array([0]))
    np.testing.assert_array_equal(batch["x"][0], data.to_model(pixels))


def test_other_kinds_of_pixels_become_the_channels_asked_for(tmp_path):
    colour = np.full((4, 4, 3), [250, 40, 10], np.uint8)
    image = Image.fromarray(colour)
    image.save(tmp_path / "a.png")
    image.convert("P").save(tmp_path / "b.png")
    image.convert("RGBA").save(tmp_path / "c.png")
    _save(tmp_path / "d.png", _grey(70))
    found = np.asarray(folder.read(tmp_path, size=4, held_out=0).x)[:, 0, 0]
    np.testing.assert_array_equal(found[[0, 2, 3]], [colour[0, 0], colour[0, 0], [70, 70, 70]])
    assert np.abs(found[1].astype(int) - colour[0, 0]).max() <= 26  # the nearest colour of the palette
    grey = np.asarray(folder.read(tmp_path, size=4, channels=1, held_out=0).x)[:, 0, 0, 0]
    assert grey[0] == round(0.299 * 250 + 0.587 * 40 + 0.114 * 10) and grey[3] == 70


def test_photographs_are_turned_upright(tmp_path):
    lying = np.zeros((4, 4), np.uint8)
    lying[0] = 255  # the first row is the upright image's last column under orientation 6
    exif = Image.Exif()
    exif[0x0112] = 6
    _save(tmp_path / "a.png", lying, exif=exif)
    found = folder.read(tmp_path, size=4, channels=1, held_out=0).x[0, :, :, 0]
    np.testing.assert_array_equal(found, np.rot90(lying, -1))


@pytest.mark.parametrize(
    "spoil", [lambda b: b[: len(b) // 2], lambda b: b"<html>not found</html>", lambda b: b""]
)
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_broken_file_is_named(tmp_path, name, spoil):
    _save(tmp_path / "a.png", _grey(1, 32))
    path = tmp_path / name
    _save(path, RNG.integers(256, size=(32, 32, 3), dtype=np.uint8))
    path.write_bytes(spoil(path.read_bytes()))
    source = folder.read(tmp_path, size=8, held_out=0)
    source.gather(np.array([0]))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} cannot be read as an image: "):
        source.gather(np.array([0, 1]))
    with pytest.raises(ValueError, match=r"x\.... cannot be read"):  # from the threads, too
        next(data.batches(source, 2, seed=0))


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    _save(tmp_path / "a.png", np.full((4, 4), 3000, np.uint16))
    with pytest.raises(ValueError, match=r"a\.png cannot be read .* type I;16, and 8 bits"):
        folder.read(tmp_path, size=4, held_out=0).x[0]


def _without_classes(path):
    _save(path / "cat/0.png", _grey(0))
    _save(path / "1.png", _grey(0))


def _with_a_new_class(path):
    _save(path / "train/cat/0.png", _grey(0))
    _save(path / "test/cow/0.png", _grey(0))


@pytest.mark.parametrize(
    "make, split, options, message",
    [
        (None, "train", {}, "path must be an existing folder, got .*nowhere"),
        (
            lambda path: path.mkdir(),
            "train",
            {},
            r"path must hold images \(\.png, .*\), .* none below .*nowhere",
        ),
        (
            _without_classes,
            "train",
            {"labels": True},
            r"labels: .*1\.png is in none of the folders of classes",
        ),
        (_with_a_new_class, "test", {"labels": True}, r"labels: .*test/cow/0\.png is in none of"),
        (lambda path: _save(path / "train/0.png", _grey(0)), "test", {}, "there is no .*nowhere/test"),
        (_without_classes, "test", {"held_out": 0.1}, 'held_out=0.1 of the images in .* none for "test"'),
        (_without_classes, "validation", {}, 'split must be "train" or "test", got "validation"'),
        (_without_classes, "train", {"size": 0}, "size must be at least 1, .* got size=0"),
        (_without_classes, "train", {"channels": 4}, "channels 1 or 3 .* channels=4"),
        (_without_classes, "train", {"held_out": 1}, r"held_out in \[0, 1\), .* held_out=1"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, make, split, options, message):
    path = tmp_path / "nowhere"
    if make is not None:
        make(path)
    with pytest.raises(ValueError, match=message):
        folder.read(path, split, **{"size": 4} | options)


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 80, 1), (96, 64, 3)])
def test_halving_takes_means_of_two(shape):
    """Four times the size: two halvings of the middle, rows then columns; nothing left to filter."""
    pixels = RNG.integers(256, size=shape, dtype=np.uint8)
    top, left = (shape[0] - 64) // 2, (shape[1] - 64) // 2
    mean = pixels[top : top + 64, left : left + 64].astype(int)
    for _ in range(2):
        mean = (mean[:, ::2] + mean[:, 1::2] + 1) // 2  # halves are rounded up
        mean = (mean[::2] + mean[1::2] + 1) // 2
    np.testing.assert_array_equal(square(pixels, 16), mean)


def test_the_right_size_is_only_cut():
    pixels = RNG.integers(256, size=(8, 13, 3), dtype=np.uint8)
    np.testing.assert_array_equal(square(pixels, 8), pixels[:, 2:10])
    np.testing.assert_array_equal(square(pixels.swapaxes(0, 1), 8), pixels.swapaxes(0, 1)[2:10])


@pytest.mark.parametrize("size", [20, 50, 99, 128])
def test_a_ramp_stays_a_ramp(size):
    """A bicubic filter reproduces straight lines: a pixel is the value at its centre, but near the edges."""
    ramp = np.broadcast_to(np.arange(20, 20 + 2 * 80, 2, dtype=np.uint8), (80, 80))[..., None]
    found = square(ramp, size)[size // 2, :, 0].astype(float)
    centre = (np.arange(size) + 0.5) * 80 / size - 0.5
    halvings = int(np.log2(80 / size)) if size < 80 else 0
    inside = slice(size // 8, -(size // 8))
    assert np.abs(found - (20 + 2 * centre))[inside].max() <= 0.51 + 0.5 * halvings


def test_flat_images_stay_flat():
    for shape, size in (((37, 91), 16), ((5, 7), 12), ((300, 200), 64)):
        assert set(square(np.full((*shape, 3), 77, np.uint8), size).flat) == {77}
