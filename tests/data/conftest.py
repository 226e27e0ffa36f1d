"""A folder of grey images in two classes."""

import pytest
from data.images import grey, save


@pytest.fixture
def tree(tmp_path):
    """Grey level 10 i for the i-th file in the order of paths; two classes of six and four images."""
    names = [f"cat/{i}.png" for i in range(3)] + [f"cat/more/{i}.PNG" for i in range(3)]
    names += [f"dog/{i}.png" for i in range(4)]
    for i, name in enumerate(names):
        save(tmp_path / "set" / name, grey(10 * i))
    (tmp_path / "set/cat/notes.txt").write_text("not an image")
    (tmp_path / "set/cat/._0.png").write_bytes(b"what a Mac leaves behind")
    save(tmp_path / "set/.cache/0.png", grey(255))
    return tmp_path / "set"
