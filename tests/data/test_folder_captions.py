"""Captions of folders of images: the tables that are read, and those that are refused."""

import json

import numpy as np
import pytest
from data.images import grey, save

from diffjax.data import folder


def _captions(folder, entries):
    lines = [json.dumps(entry) for entry in entries]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_captions_of_an_imagefolder(tree):
    names = [f"cat/{i}.png" for i in range(3)] + [f"cat/more/{i}.PNG" for i in range(3)]
    names += [f"dog/{i}.png" for i in range(4)]
    entries = [
        {"file_name": name, "text": f"a {name[:3]} — {i}\u2028", "more": i} for i, name in enumerate(names)
    ]
    _captions(tree, entries[::-1])
    source = folder.read(tree, "test", size=4, channels=1, held_out=0.3)
    assert source["caption"].tolist() == [entries[i]["text"] for i in (0, 3, 6)]
    assert set(source.gather(np.arange(2))) == {"x"}
    assert folder.read(tree, size=4, caption=None).arrays == {}


@pytest.mark.parametrize("above", [False, True])
def test_captions_of_divided_images(tmp_path, above):
    for name in ("train/0.png", "train/1.png", "val/0.png"):
        save(tmp_path / name, grey(0))
    if above:
        names = ("train/1.png", "train/0.png", "val/0.png")
        _captions(tmp_path, [{"file_name": name, "say": name} for name in names])
    else:
        _captions(
            tmp_path / "train", [{"file_name": name, "say": f"train/{name}"} for name in ("1.png", "0.png")]
        )
        _captions(tmp_path / "val", [{"file_name": "0.png", "say": "val/0.png"}])
    options = {"size": 4, "test": "val", "caption": "say"}
    assert folder.read(tmp_path, **options)["caption"].tolist() == ["train/0.png", "train/1.png"]
    assert folder.read(tmp_path, "test", **options)["caption"].tolist() == ["val/0.png"]


@pytest.mark.parametrize(
    "content, message",
    [
        (
            b'{"file_name": "0.png", "text": "a"}\n',
            r"1\.png has no caption in .*metadata\.jsonl; caption=None",
        ),
        (
            b'{"file_name": "0.png", "text": "a"}\n' * 2,
            r"metadata\.jsonl, line 2, gives .*0\.png a second caption",
        ),
        (b'{"file_name": "0.png", "text": ', r"metadata\.jsonl, line 1, is not JSON: "),
        (b'\n["0.png"]', r'metadata\.jsonl, line 2, must be an object with a string "file_name", got \["0'),
        (
            b'{"file_name": "0.png", "caption": "a"}',
            r'line 1, must be an object with a string "text", got {"file',
        ),
        (b'{"file_name": "0.png", "text": 3}', r'line 1, must be an object with a string "text"'),
        (b"\xff\xfe", r"metadata\.jsonl is not text in UTF-8"),
        (
            b"\n".join(b'{"file_name": "%d.png", "text": "a"}' % i for i in range(3)),
            r"2\.png has a caption, but there is no such image",
        ),
    ],
)
def test_captions_that_do_not_fit_are_refused(tmp_path, content, message):
    for i in range(2):
        save(tmp_path / f"{i}.png", grey(0))
    (tmp_path / "metadata.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        folder.read(tmp_path, size=4, held_out=0)


def test_tables_of_other_kinds_are_refused(tmp_path):
    save(tmp_path / "0.png", grey(0))
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a\n")
    with pytest.raises(ValueError, match=r"metadata\.csv is not read, only metadata\.jsonl is; caption=None"):
        folder.read(tmp_path, size=4, held_out=0)
    assert len(folder.read(tmp_path, size=4, held_out=0, caption=None)) == 1
