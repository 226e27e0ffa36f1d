"""A count: each file format that is read, damaged in a hundred ways and more.

What is damaged is told by one ValueError or OSError that names the file, or does not matter: the same data
come out. Other data may come out only where nothing in the format could know it: pixels of JPEG, WebP and
BMP, whose shape still holds, and text.
"""

import collections
import io
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.damage import ways
from PIL import Image

from diffjax.data import folder, npz, prepared

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(12, 10, 3), dtype=np.uint8)


def _image(kind, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def _archive(save):
    file = io.BytesIO()
    names = np.array(["cat", "dog"])
    save(
        file, train_image=PIXELS[None], train_label=np.array([1]), train_caption=names[1:], class_names=names
    )
    return file.getvalue()


IMAGES = {
    "packed.png": _image("PNG"),
    "stored.png": _image("PNG", compress_level=0),
    "image.jpg": _image("JPEG"),
    "image.webp": _image("WEBP"),
    "image.bmp": _image("BMP"),
}
ARCHIVES = {"stored.npz": _archive(np.savez), "packed.npz": _archive(np.savez_compressed)}
OTHERS = IMAGES | ARCHIVES | {"object.json": b"{}", "list.json": b"[]", "number.json": b"3"}


def _count(path, read, name=None):
    """Damage a file in every way, and count how often it was named, gave the same data, or did otherwise."""
    raw, expected, found = path.read_bytes(), read(), collections.Counter()
    others = {name: content for name, content in OTHERS.items() if content != raw}
    for way, content in ways(raw, others):
        path.write_bytes(content)
        try:
            same = all(np.array_equal(a, b) for a, b in zip(read(), expected, strict=True))
            found["same" if same else f"other data: {way}"] += 1
        except (ValueError, OSError) as error:
            said = str(error)
            named = str(path) in said or (name is not None and name in said)
            found["named" if named and "\n" not in said and len(said) < 600 else f"{way}: {said}"] += 1
    path.write_bytes(raw)
    assert sum(found.values()) >= 100 and found["named"] >= 30
    return found


@pytest.mark.parametrize("name", IMAGES)
def test_images(tmp_path, name):
    (tmp_path / name).write_bytes(IMAGES[name])

    def read():
        source = folder.read(tmp_path, size=10, held_out=0)
        assert source.shape == (10, 10, 3)
        return [np.asarray(source.x)]

    found = _count(tmp_path / name, read)
    other = {way for way in found if way.startswith("other data")}
    if name.endswith(".png"):  # another image under this name is data, too
        other -= {f"other data: a {image}" for image in IMAGES}
        assert not other
    assert found.keys() <= {"named", "same"} | {way for way in found if way.startswith("other data")}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(tmp_path, name):
    (tmp_path / name).write_bytes(ARCHIVES[name])

    def read():
        source = npz.read(tmp_path / name, arrays=("caption",))
        return source.x, source.label, source["caption"], source.class_names

    assert _count(tmp_path / name, read).keys() == {"named", "same"}


def test_captions(tmp_path):
    for i in range(20):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")
    lines = [json.dumps({"file_name": f"{i}.png", "text": f"picture {i}"}) for i in range(20)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    read = lambda: [folder.read(tmp_path, size=8, held_out=0, check=False)["caption"]]
    found = _count(tmp_path / "metadata.jsonl", read, str(tmp_path))
    other = [way for way in found if way not in ("named", "same")]
    assert all(way.startswith("other data: another bit") for way in other)


class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(12, 10, 3)),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(9):
            yield i, {"image": io.BytesIO(_image("PNG")), "label": i % 3}


@pytest.mark.parametrize("pattern", ["*array_record*", "dataset_info.json", "features.json"])
def test_prepared_sets(tmp_path, pattern):
    builder = Small(data_dir=tmp_path)
    builder.download_and_prepare(file_format="array_record")
    (path,) = tmp_path.glob(f"small/1.0.0/{pattern}")

    def read():
        source = prepared.read("small", data_dir=tmp_path)
        return np.asarray(source.x), source.label

    found = _count(path, read, "small")
    assert found.keys() == {"named", "same"}
