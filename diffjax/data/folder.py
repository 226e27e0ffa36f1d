"""Images from a folder of image files."""

import concurrent.futures
import itertools
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from diffjax.border import checked
from diffjax.data import captions, fingerprints, image_files
from diffjax.data.lazy import LazyImages
from diffjax.data.sources import Source
from diffjax.types import Integer

_CHUNK = 256
_SIZED, _READ = 4096, 64  # files whose sizes, and whose bytes, go into the mark of a folder


@checked
def read(
    path: str | os.PathLike,
    split: str = "train",
    *,
    size: int,
    channels: int = 3,
    labels: bool = False,
    train: str | None = "train",
    test: str | None = "test",
    held_out: float = 0.1,
    alpha: str | None = None,
    caption: str | None = "text",
    check: bool = True,
) -> Source:
    """Read the images below a folder, in the order of their paths; each is decoded when it is asked for.

    Splits are subfolders, if there is one of either name; otherwise "test" is `held_out` of all images,
    evenly spaced in their order, and so of each class to within one image. Hidden files and folders are left
    out, links followed. Images are turned upright as their EXIF data say.

    Captions are read where a folder has a `metadata.jsonl`, as Hugging Face's "imagefolder" has them: a line
    for each image, `{"file_name": "cat/1.png", "text": "a cat"}`, the name relative to that folder.

    Args:
      path: the folder.
      split: "train" or "test".
      size: side of the square images that come out, see `squares.square`.
      channels: 1 for grey, 3 for colour.
      labels: the class of an image is its first subfolder, below that of the split; classes are numbered in
        the order of their names.
      train: subfolder of the training split; None, for both, where folders of such names are classes.
      test: subfolder of the test split.
      held_out: fraction of "test" where there are no such subfolders, in [0, 1).
      alpha: ground of what is transparent, "white" or "black"; None refuses transparent images.
      caption: entry of `metadata.jsonl` that becomes the array "caption"; None reads no captions.
      check: look at beginning and end of every file now, about two minutes a million.

    Returns:
      A `Source` of uint8 images `[N, size, size, channels]`, with `class_names` where there are labels and
      `arrays["caption"]` where there are captions.

    Raises:
      ValueError: if an option is out of range; the folder, a split, an image in it or a caption is missing; a
        link leads nowhere or in a circle; there are pictures of other formats; an image has no class or one
        that the training split lacks, or a class has no image; an image is broken, which is said now where
        its ends show it, and otherwise when it is decoded. It names the file.
    """
    root = pathlib.Path(os.path.expanduser(path))
    if not root.is_dir():
        raise ValueError(f"path must be an existing folder, got {root}")
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got "{split}"')
    if size < 1 or channels not in image_files.MODES or not 0 <= held_out < 1:
        given = f"size={size}, channels={channels}, held_out={held_out}"
        raise ValueError(f"size must be at least 1, channels 1 or 3 and held_out in [0, 1), got {given}")
    if alpha is not None and alpha not in image_files.GROUNDS:
        raise ValueError(f"alpha must be None or one of {', '.join(image_files.GROUNDS)}, got {alpha!r}")

    folders = _splits(root, train, test)
    base = folders[split] if folders else root
    files, tables = _files(base)
    label, names = _labels(base, files, folders["train"] if folders else root) if labels else (None, None)
    texts = None
    if caption is not None:
        tables = [*(_tables(root) if folders else []), *tables]
        texts = captions.read(tables, [base / file for file in files], caption)
    if not folders:
        chosen = _chosen(len(files), held_out, split)
        files = [files[i] for i in chosen]
        label = None if label is None else label[chosen]
        texts = None if texts is None else texts[chosen]
    if not files:
        raise ValueError(f'held_out={held_out} of the images in {root} leaves none for "{split}"')
    if check:
        _check([base / file for file in files], channels, alpha)

    def decode(rows):
        return np.stack([image_files.decode(base / files[row], size, channels, alpha) for row in rows])

    mark = lambda rows: _mark(base, [files[row] for row in rows])
    images = LazyImages(decode, (len(files), size, size, channels), mark)
    count = None if names is None else len(names)
    arrays = {} if texts is None else {"caption": texts}
    return Source(images, label, count, f"{root.name}/{split}", arrays, names)


def _splits(root: pathlib.Path, train: str | None, test: str | None) -> dict[str, pathlib.Path] | None:
    """Return the folders of the splits, or None where the images are not divided."""
    if (train is None) != (test is None) or (train is not None and train == test):
        raise ValueError(f"train and test must be two folders, or None both, got {train!r} and {test!r}")
    if train is None or test is None:
        return None
    folders = {"train": root / train, "test": root / test}
    there = [folder for folder in folders.values() if folder.is_dir()]
    if not there:
        return None
    beside = [entry for entry in _entries(root) if entry.name not in (train, test)]
    for entry in beside:
        if entry.name.lower().endswith(image_files.ENDINGS):
            raise ValueError(f"path: {entry.path} is in neither split, {train} or {test}")
    others = sorted(entry.name for entry in beside if entry.is_dir())
    if len(there) == 1 and others:
        missing = "test" if there == [folders["train"]] else "train"
        raise ValueError(
            f"path: {root} has a folder {there[0].name}, which is a split, and none of the other, but "
            f"{', '.join(others)}: say which it is by {missing}=..., or train=None and test=None for classes"
        )
    return folders


def _entries(folder: str | os.PathLike) -> Iterator[os.DirEntry]:
    """List what a folder holds, but for what is hidden."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _tables(folder: str | os.PathLike) -> list[pathlib.Path]:
    return [pathlib.Path(entry.path) for entry in _entries(folder) if entry.name in captions.TABLES]


def _files(base: pathlib.Path) -> tuple[list[str], list[pathlib.Path]]:
    """List the images below a folder, as sorted paths relative to it with slashes; and the metadata files."""
    if not base.is_dir():
        raise ValueError(f"path must hold the folder of this split, but there is no {base}")
    found, tables, others = [], [], []

    def walk(folder, inside, above):
        here = os.path.realpath(folder)
        if here in above:
            raise ValueError(f"path: {folder} is a link to a folder that holds it")
        for entry in _entries(folder):
            name = entry.name.lower()
            if entry.is_dir():
                walk(entry.path, f"{inside}{entry.name}/", above | {here})
            elif not entry.is_file():
                raise ValueError(
                    f"path: {entry.path} is neither file nor folder, or a link that leads nowhere"
                )
            elif name.endswith(image_files.ENDINGS):
                found.append(inside + entry.name)
            elif name.endswith(image_files.NOT_READ):
                others.append(entry.path)
        tables.extend(_tables(folder))

    walk(base, "", frozenset())
    allowed = ", ".join(image_files.ENDINGS)
    if others:
        raise ValueError(
            f"path: {min(others)} is not read, nor are {len(others) - 1} others; only {allowed} are"
        )
    if not found:
        raise ValueError(f"path must hold images ({allowed}), but there are none below {base}")
    return sorted(found), tables


def _labels(
    base: pathlib.Path, files: list[str], training: pathlib.Path
) -> tuple[Integer[np.ndarray, " n"], tuple[str, ...]]:
    """Return the classes of files below `base`, and their names, as `training` has them."""
    if not training.is_dir():
        raise ValueError(f"labels: classes are those of the training split, but there is no {training}")
    names = sorted(entry.name for entry in _entries(training) if entry.is_dir())
    number = {name: index for index, name in enumerate(names)}
    label = [number.get(file.partition("/")[0]) for file in files]
    if None in label:
        file = base / files[label.index(None)]
        raise ValueError(f"labels: {file} is in none of the folders of classes in {training}")
    label = np.array(label, np.int32)
    empty = np.flatnonzero(np.bincount(label, minlength=len(names)) == 0)
    if len(empty) and base == training:
        raise ValueError(f"labels: the folder of a class, {training / names[empty[0]]}, holds no images")
    return label, tuple(names)


def _chosen(count: int, held_out: float, split: str) -> Integer[np.ndarray, " chosen"]:
    tests = round(count * held_out)
    test = np.arange(tests) * count // max(tests, 1)
    return test if split == "test" else np.setdiff1d(np.arange(count), test)


def _check(files: list[pathlib.Path], channels: int, alpha: str | None) -> None:
    """Raise if files are broken: the first of them, and how many others."""

    def broken(start):
        found = []
        for file in files[start : start + _CHUNK]:
            try:
                image_files.check(file, channels, alpha)
            except ValueError as error:
                found.append(str(error))
        return found

    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(itertools.chain.from_iterable(pool.map(broken, range(0, len(files), _CHUNK))))
    if found:
        more = f"; and {len(found) - 1} other files of {len(files)}" if len(found) > 1 else ""
        raise ValueError(found[0] + more)


def _mark(base: pathlib.Path, files: list[str]) -> bytes:
    """Return a checksum of the names of files, and of the sizes and the content of some of them."""
    sizes = [(base / files[row]).stat().st_size for row in fingerprints.spread(len(files), _SIZED)]
    some = [(base / files[row]).read_bytes() for row in fingerprints.spread(len(files), _READ)]
    return fingerprints.digest(
        ["\n".join(files).encode(errors="surrogateescape"), repr(sizes).encode(), *some]
    )
