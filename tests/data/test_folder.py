"""Folders of image files: which files, in which order, of which class and split, and how they are decoded."""

import re
import shutil

import numpy as np
import pytest
from data.images import grey, save
from PIL import Image

from diffjax import data
from diffjax.data import folder, image_files

RNG = np.random.default_rng(0)


def _values(source):
    """The grey levels of images of one colour: which file each is."""
    return np.asarray(source.x)[:, 0, 0, 0].tolist()


def test_every_image_once_in_the_order_of_paths(tree):
    source = data.load("folder", path=tree, size=4, channels=1, held_out=0)
    assert _values(source) == [10 * i for i in range(10)]
    assert source.shape == (4, 4, 1) and source.label is None and source.name == "set/train"


def test_classes_are_first_subfolders(tree):
    source = folder.read(tree, size=4, channels=1, labels=True, held_out=0)
    assert source.label.tolist() == [0] * 6 + [1] * 4 and source.num_classes == 2
    assert source.class_names == ("cat", "dog")


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
        save(tmp_path / name, grey(value))
    options = {"size": 4, "channels": 1, "labels": True, **names}
    found = {split: folder.read(tmp_path, split, **options) for split in ("train", "test")}
    assert _values(found["train"]) == [0, 1] and found["train"].label.tolist() == [0, 1]
    assert _values(found["test"]) == [2] and found["test"].label.tolist() == [1]
    assert found["test"].num_classes == 2


def test_pixels_of_lossless_files_are_exact(tmp_path):
    pixels = RNG.integers(256, size=(8, 8, 3), dtype=np.uint8)
    for name in ("a.png", "b.bmp", "c.webp"):
        save(tmp_path / name, pixels, **({"lossless": True} if name.endswith("webp") else {}))
    save(tmp_path / "d.jpeg", np.full((8, 8, 3), [200, 30, 90], np.uint8), quality=95)
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
    save(tmp_path / "d.png", grey(70))
    found = np.asarray(folder.read(tmp_path, size=4, held_out=0).x)[:, 0, 0]
    np.testing.assert_array_equal(found[[0, 2, 3]], [colour[0, 0], colour[0, 0], [70, 70, 70]])
    assert np.abs(found[1].astype(int) - colour[0, 0]).max() <= 26  # the nearest colour of the palette
    shades = np.asarray(folder.read(tmp_path, size=4, channels=1, held_out=0).x)[:, 0, 0, 0]
    assert shades[0] == round(0.299 * 250 + 0.587 * 40 + 0.114 * 10) and shades[3] == 70


def test_photographs_are_turned_upright(tmp_path):
    lying = np.zeros((4, 4), np.uint8)
    lying[0] = 255  # the first row is the upright image's last column under orientation 6
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", lying, exif=exif)
    found = folder.read(tmp_path, size=4, channels=1, held_out=0).x[0, :, :, 0]
    np.testing.assert_array_equal(found, np.rot90(lying, -1))


@pytest.mark.parametrize(
    "spoil", [lambda b: b[: len(b) // 2], lambda b: b"<html>not found</html>", lambda b: b""]
)
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_broken_file_is_named(tmp_path, name, spoil):
    save(tmp_path / "a.png", grey(1, 32))
    path = tmp_path / name
    save(path, RNG.integers(256, size=(32, 32, 3), dtype=np.uint8))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} cannot be read as an image: .*$"):
        folder.read(tmp_path, size=8, held_out=0)  # before anything is trained
    source = folder.read(tmp_path, size=8, held_out=0, check=False)
    source.gather(np.array([0]))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} cannot be read as an image: "):
        source.gather(np.array([0, 1]))
    with pytest.raises(ValueError, match=r"x\.... cannot be read"):  # from the threads, too
        next(data.batches(source, 2, seed=0))


def test_all_broken_files_are_counted(tmp_path):
    for name in "abcd":
        save(tmp_path / f"{name}.png", grey(1, 32))
    for name in "bd":
        (tmp_path / f"{name}.png").write_bytes((tmp_path / f"{name}.png").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"b\.png cannot be read as .*; and 1 other files of 4$"):
        folder.read(tmp_path, size=8, held_out=0)


def test_the_check_decodes_nothing_of_a_sound_file(tmp_path, monkeypatch):
    for name in ("a.png", "b.jpg", "c.webp", "d.bmp"):
        save(tmp_path / name, RNG.integers(256, size=(16, 16, 3), dtype=np.uint8))
    monkeypatch.setattr(image_files, "decode", None)
    assert len(folder.read(tmp_path, size=8, held_out=0)) == 4


def test_bytes_after_the_end_of_an_image_are_no_damage(tmp_path):
    for name in ("a.png", "b.jpg", "c.bmp"):
        save(tmp_path / name, grey(40, 16))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"some phone's remarks")
    assert _values(folder.read(tmp_path, size=4, channels=1, held_out=0)) == [40, 40, 40]


def test_a_checksum_inside_a_png_is_compared(tmp_path):
    """The pixels are stored, not packed, so nothing but the checksum knows that a bit of them is another."""
    save(tmp_path / "a.png", RNG.integers(256, size=(8, 8), dtype=np.uint8), compress_level=0)
    raw = bytearray((tmp_path / "a.png").read_bytes())
    raw[raw.index(b"IDAT") + 20] ^= 1
    (tmp_path / "a.png").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image: "):
        folder.read(tmp_path, size=8, held_out=0).gather(np.array([0]))


def _transparent(path, hidden):
    """A black square on a transparent ground, of a colour that no viewer shows."""
    pixels = np.empty((8, 8, 4), np.uint8)
    pixels[:] = (*hidden, 0)
    pixels[2:6, 2:6] = (0, 0, 0, 255)
    save(path, pixels)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "one colour"])
def test_transparent_images_are_refused_before_training(tmp_path, kind):
    _transparent(tmp_path / "a.png", (255, 0, 0))
    image = Image.open(tmp_path / "a.png")
    if kind == "LA":
        image.convert("LA").save(tmp_path / "a.png")
    elif kind == "palette":
        image.quantize(4).save(tmp_path / "a.png")
    elif kind == "one colour":
        image.convert("RGB").save(tmp_path / "a.png", transparency=(255, 0, 0))
    with pytest.raises(
        ValueError, match=r'a\.png cannot be read as an image: it is transparent: alpha="white"'
    ):
        folder.read(tmp_path, size=8, held_out=0)
    white = folder.read(tmp_path, size=8, held_out=0, alpha="white").x[0]
    assert set(white[0, 0]) == {255} and set(white[4, 4]) == {0}


@pytest.mark.parametrize("alpha, value", [("white", 255), ("black", 0)])
def test_transparent_images_lie_on_the_ground_asked_for(tmp_path, alpha, value):
    for name, hidden in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        _transparent(tmp_path / f"{name}.png", hidden)
    half = np.full((8, 8, 4), (200, 100, 0, 51), np.uint8)  # a fifth of the colour, four of the ground
    save(tmp_path / "c.png", half)
    found = np.asarray(folder.read(tmp_path, size=8, held_out=0, alpha=alpha).x)
    np.testing.assert_array_equal(found[0], found[1])
    assert set(found[0][0, 0]) == {value} and set(found[0][4, 4]) == {0}
    np.testing.assert_allclose(found[2][0, 0], 0.2 * np.array([200, 100, 0]) + 0.8 * value, atol=1)


def test_what_moves_is_refused(tmp_path):
    frames = [Image.fromarray(grey(value, 8)) for value in (0, 99)]
    for name in ("a.png", "b.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match=rf"{name} cannot .*: it moves, and one picture is needed"):
            folder.read(tmp_path, size=8, held_out=0)
        (tmp_path / name).unlink()


def test_a_file_may_have_the_ending_of_another_format(tmp_path):
    save(tmp_path / "a.png", grey(77, 8))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert _values(folder.read(tmp_path, size=8, channels=1, held_out=0)) == [77]
    save(tmp_path / "b.tiff", grey(77, 8))
    with pytest.raises(ValueError, match=r"path: .*b\.tiff is not read, nor are 0 others; only \.png, "):
        folder.read(tmp_path, size=8, held_out=0)
    (tmp_path / "b.tiff").rename(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png cannot .*: it is none of PNG, JPEG, WEBP, BMP"):
        folder.read(tmp_path, size=8, held_out=0)


def test_links_are_followed(tree, tmp_path):
    whole = folder.read(tree, size=4, channels=1, labels=True, held_out=0)
    (tree / "dog").rename(tmp_path / "elsewhere")
    (tree / "dog").symlink_to(tmp_path / "elsewhere")
    (tree / "cat/0.png").rename(tmp_path / "first.png")
    (tree / "cat/0.png").symlink_to(tmp_path / "first.png")
    linked = folder.read(tree, size=4, channels=1, labels=True, held_out=0)
    np.testing.assert_array_equal(linked.x, whole.x)
    np.testing.assert_array_equal(linked.label, whole.label)


@pytest.mark.parametrize("name, target", [("cow", "nowhere"), ("a.png", "nowhere.png")])
def test_links_that_lead_nowhere_are_refused(tree, name, target):
    (tree / name).symlink_to(target)
    with pytest.raises(ValueError, match=rf"path: .*{name} is neither file nor folder, or a link that leads"):
        folder.read(tree, size=4)


def test_links_in_a_circle_are_refused(tree):
    (tree / "cat/again").symlink_to(tree)
    with pytest.raises(ValueError, match=r"path: .*cat/again is a link to a folder that holds it"):
        folder.read(tree, size=4)


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    save(tmp_path / "a.png", np.full((4, 4), 3000, np.uint16))
    with pytest.raises(ValueError, match=r"a\.png cannot be read .* type I;16, and 8 bits"):
        folder.read(tmp_path, size=4, held_out=0).x[0]


def _without_classes(path):
    save(path / "cat/0.png", grey(0))
    save(path / "1.png", grey(0))


def _with_an_empty_class(path):
    save(path / "cat/0.png", grey(0))
    (path / "bird").mkdir()


def _with_a_class_called_train(path):
    save(path / "train/0.png", grey(0))
    save(path / "plane/0.png", grey(0))


def _with_an_image_beside_the_splits(path):
    for name in ("train/0.png", "test/0.png", "all.png"):
        save(path / name, grey(0))


def _with_a_new_class(path):
    save(path / "train/cat/0.png", grey(0))
    save(path / "test/cow/0.png", grey(0))


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
        (_with_an_empty_class, "train", {"labels": True}, "the folder of a class, .*/bird, holds no images"),
        (
            _with_a_class_called_train,
            "train",
            {},
            "has a folder train, which is a split, and none of the other, but plane: .* test=.* train=None",
        ),
        (
            _with_an_image_beside_the_splits,
            "train",
            {},
            r"path: .*all\.png is in neither split, train or test",
        ),
        (_without_classes, "train", {"train": None}, "train and test must be two folders, or None both"),
        (_without_classes, "train", {"alpha": "red"}, "alpha must be None or one of white, black, got 'red'"),
        (_with_a_new_class, "test", {"labels": True}, r"labels: .*test/cow/0\.png is in none of"),
        (lambda path: save(path / "train/0.png", grey(0)), "test", {}, "there is no .*nowhere/test"),
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


def test_folders_called_as_splits_may_be_classes(tmp_path):
    _with_a_class_called_train(tmp_path)
    source = folder.read(tmp_path, size=4, channels=1, labels=True, held_out=0, train=None, test=None)
    assert source.class_names == ("plane", "train") and len(source) == 2


def test_a_moved_folder_is_the_same_data(tree, tmp_path):
    read = lambda path: folder.read(path, size=4, channels=1, labels=True, held_out=0).fingerprint()
    first = read(tree)
    shutil.copytree(tree, tmp_path / "moved")
    assert read(tmp_path / "moved") == first
    save(tree / "dog/3.png", grey(91))
    assert read(tree) != first
    (tmp_path / "moved/cat/2.png").unlink()
    assert read(tmp_path / "moved") != first
