"""Images from a folder of image files."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

from diffjax.data.lazy import LazyImages
from diffjax.data.sources import Source
from diffjax.data.squares import square

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_MODES = {1: "L", 3: "RGB"}


def read(
    path: str | os.PathLike,
    split: str = "train",
    *,
    size: int,
    channels: int = 3,
    labels: bool = False,
    train: str = "train",
    test: str = "test",
    held_out: float = 0.1,
) -> Source:
    """Read the images below a folder, in the order of their paths; each is decoded when it is asked for.

    Splits are subfolders, if there is one of either name; otherwise "test" is `held_out` of all images,
    evenly spaced in their order, and so of each class to within one image. Hidden files and folders are left
    out and links to folders not followed. Images are turned upright as their EXIF data say; alpha is dropped.

    Args:
      path: the folder.
      split: "train" or "test".
      size: side of the square images that come out, see `squares.square`.
      channels: 1 for grey, 3 for colour.
      labels: the class of an image is its first subfolder, below that of the split; classes are numbered in
        the order of their names.
      train: subfolder of the training split.
      test: subfolder of the test split.
      held_out: fraction of "test" where there are no such subfolders, in [0, 1).

    Returns:
      A `Source` of uint8 images `[N, size, size, channels]`.

    Raises:
      ValueError: if an option is out of range, the folder, a split or an image in it is missing, an image
        has no class or one that the training split lacks; later, naming the file, if one cannot be decoded.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"path must be an existing folder, got {root}")
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got "{split}"')
    if size < 1 or channels not in _MODES or not 0 <= held_out < 1:
        given = f"size={size}, channels={channels}, held_out={held_out}"
        raise ValueError(f"size must be at least 1, channels 1 or 3 and held_out in [0, 1), got {given}")

    divided = (root / train).is_dir() or (root / test).is_dir()
    base = root / {"train": train, "test": test}[split] if divided else root
    files = _files(base)
    label, names = _labels(base, files, root / train if divided else root) if labels else (None, None)
    if not divided:
        chosen = _chosen(len(files), held_out, split)
        files = [files[i] for i in chosen]
        label = None if label is None else label[chosen]
    if not files:
        raise ValueError(f'held_out={held_out} of the images in {root} leaves none for "{split}"')

    decode = lambda rows: np.stack([_decode(base / files[row], size, channels) for row in rows])
    images = LazyImages(decode, (len(files), size, size, channels))
    count = None if names is None else len(names)
    return Source(images, label, count, f"{root.name}/{split}", class_names=names)


def _files(base: pathlib.Path) -> list[str]:
    """List the images below a folder, as paths relative to it with slashes, sorted."""
    if not base.is_dir():
        raise ValueError(f"path must hold the folder of this split, but there is no {base}")
    found = []
    for folder, subfolders, names in os.walk(base):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        inside = pathlib.Path(folder).relative_to(base).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        found += [prefix + name for name in names if name.lower().endswith(ENDINGS) and name[0] != "."]
    if not found:
        raise ValueError(f"path must hold images ({', '.join(ENDINGS)}), but there are none below {base}")
    return sorted(found)


def _labels(base: pathlib.Path, files: list[str], training: pathlib.Path):
    """Return the classes int32 [N] of files below `base`, and their names, as `training` has them."""
    classes = sorted(e.name for e in os.scandir(training) if e.is_dir() and not e.name.startswith("."))
    number = {name: index for index, name in enumerate(classes)}
    label = [number.get(file.partition("/")[0]) for file in files]
    if None in label:
        file = base / files[label.index(None)]
        raise ValueError(f"labels: {file} is in none of the folders of classes in {training}")
    return np.array(label, np.int32), tuple(classes)


def _chosen(count: int, held_out: float, split: str) -> np.ndarray:
    tests = round(count * held_out)
    test = np.arange(tests) * count // max(tests, 1)
    return test if split == "test" else np.setdiff1d(np.arange(count), test)


def _decode(file: pathlib.Path, size: int, channels: int) -> np.ndarray:
    """Return one file as uint8 [size, size, channels]."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"its pixels are of type {image.mode}, and 8 bits a channel are needed")
            pixels = np.asarray(ImageOps.exif_transpose(image).convert(_MODES[channels]))
    except Exception as error:  # what Pillow raises on a broken file depends on its format
        raise ValueError(f"{file} cannot be read as an image: {error}") from error
    return square(pixels.reshape(*pixels.shape[:2], channels), size)
