"""Pictures have the size and the pixels they should."""

import numpy as np
import pytest
from PIL import Image

from diffjax import files
from diffjax.evaluation import pictures


def _images(n, side=8, channels=1):
    return np.random.default_rng(0).integers(0, 255, (n, side, side, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles(tmp_path, channels):
    images = _images(7, channels=channels)
    path = pictures.grid(tmp_path / "new" / "grid.png", images, columns=3, scale=4)
    picture = np.asarray(Image.open(path)).reshape(3 * 34 + 2, 3 * 34 + 2, channels)
    tile = picture[34 + 2 : 34 + 2 + 32, 2 * 34 + 2 : 2 * 34 + 2 + 32]  # second row, third column
    np.testing.assert_array_equal(tile[::4, ::4], images[5])
    np.testing.assert_array_equal(tile[3::4, 3::4], images[5])
    assert (picture[-33:-2, -33:-2] == 255).all()  # no eighth and ninth image


def test_small_images_are_enlarged_and_large_ones_are_not(tmp_path):
    assert Image.open(pictures.grid(tmp_path / "a.png", _images(2))).size == (2 * 50 + 2, 52)
    assert Image.open(pictures.grid(tmp_path / "b.png", _images(2, side=64))).size == (2 * 66 + 2, 68)


def test_a_class_begins_a_row_behind_its_label(tmp_path):
    images, labels = _images(5), np.array([3, 1, 3, 3, 1])
    path = pictures.grid(tmp_path / "grid.png", images, labels, columns=2, scale=4)
    picture = np.asarray(Image.open(path))
    assert picture.shape[0] == 3 * 34 + 2  # 1 1 | 3 3 | 3
    margin = picture.shape[1] - 2 * 34 - 2
    for row, column, index in [(0, 0, 1), (0, 1, 4), (1, 0, 0), (1, 1, 2), (2, 0, 3)]:
        tile = picture[2 + 34 * row :, margin + 2 + 34 * column :][:32:4, :32:4]
        np.testing.assert_array_equal(tile, images[index, ..., 0])
    written = [(picture[34 * row : 34 * row + 34, :margin] < 128).any() for row in range(3)]
    assert written == [True, True, False]  # once a class


@pytest.mark.unchecked
def test_what_is_no_picture(tmp_path):
    path = tmp_path / "grid.png"
    for images in (np.zeros((2, 8, 8, 1), np.float32), _images(2, channels=2), _images(0), _images(2)[0]):
        with pytest.raises(ValueError, match="images must be uint8"):
            pictures.grid(path, images)
    with pytest.raises(ValueError, match=r"labels must be \[2\]"):
        pictures.grid(path, _images(2), labels=[1, 2, 3])
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        pictures.grid(path, _images(2), columns=0)
    with pytest.raises(ValueError, match="scale must be at least 1, got 0"):
        pictures.grid(path, _images(2), scale=0)
    assert not path.exists()


def test_points_beside_the_data(tmp_path):
    points = np.random.default_rng(0).standard_normal((50, 2))
    alone = Image.open(pictures.scatter(tmp_path / "new" / "a.png", points))
    beside = Image.open(pictures.scatter(tmp_path / "b.png", points, reference=points + 1))
    assert beside.size[0] > 1.5 * alone.size[0] and alone.size[1] > 300
    with pytest.raises(ValueError, match=r"samples must be points \[N, 2\], got shape \[50, 3\]"):
        pictures.scatter(tmp_path / "c.png", np.zeros((50, 3)))


def test_only_as_many_as_can_be_looked_at_are_shown(tmp_path):
    """Twenty thousand images, a thousand classes, large images: a picture that viewers open."""
    many = pictures.shown(20_000)
    assert len(many) == 400 and (np.diff(many) == 50).all()
    classes = np.repeat(np.arange(1000), 20)
    some = pictures.shown(20_000, classes)
    assert len(some) == 400 and len(np.unique(classes[some])) == 40
    first = classes[some] == 0
    np.testing.assert_array_equal(some[first], np.arange(10))  # the first ten of a class
    assert len(pictures.shown(20_000, height=1024)) * 1026 / 10 <= 12_000
    np.testing.assert_array_equal(pictures.shown(7), np.arange(7))
    path = pictures.of_samples(tmp_path / "many.png", "images", np.zeros((20_000, 8, 8, 1), np.uint8))
    assert max(Image.open(path).size) <= 2002


def test_samples_are_drawn_by_what_they_are(tmp_path):
    path, images = tmp_path / "samples.png", _images(6)
    said = ["10", "2", "none", "2", "10", "none"]
    height = lambda: Image.open(path).size[1]
    assert pictures.of_samples(path, "images", images, said) == path and height() == 3 * 50 + 2
    pictures.of_samples(path, "images", images, [f"a long caption of its own, {i}" for i in range(6)])
    assert height() == 64 + 4 + 4 * 13 + 2  # each its own: below the image, in up to four lines
    assert pictures._in_order(np.array(said)) == ["2", "10", "none"]
    assert pictures.of_samples(path, "points", np.zeros((5, 2))) == path
    assert pictures.of_samples(path, "embeddings", np.zeros((5, 7))) is None
    assert not path.exists()  # no picture of other samples stays
    assert pictures.of_samples(path, "points", np.zeros((5, 3))) is None


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "new" / "file.png"
    with files.whole(path) as file:
        file.write(b"whole")
    with (
        pytest.raises(OSError, match=r"could not write .*file\.png: No space left"),
        files.whole(path) as file,
    ):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"whole" and list(path.parent.iterdir()) == [path]
