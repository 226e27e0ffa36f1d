"""Images from one `.npz` file."""

import os
import zipfile

import numpy as np

from diffjax.data.sources import Source


def read(
    path: str | os.PathLike,
    split: str = "train",
    *,
    images: str = "{split}_image",
    labels: str | None = "{split}_label",
    num_classes: int | None = None,
) -> Source:
    """Read one split of an `.npz` file of images.

    `{split}` in `path`, `images` and `labels` stands for the split. Where neither `path` nor `images` has
    it, the file holds one split, "train"; a second one would silently be the same images.

    Args:
      path: the file, made by `np.savez`.
      split: "train", "test" or whatever the keys say.
      images: key of uint8 `[N, H, W]` or `[N, H, W, C]`; a missing channel axis is added.
      labels: key of integers `[N]`, or None to read no labels.
      num_classes: number of classes; by default one more than the largest label of this split.

    Returns:
      A `Source` of uint8 images.

    Raises:
      ValueError: if the file, a key, a dtype or a shape is not as said above.
    """
    template = f"{os.fspath(path)} {images}"
    if "{split}" not in template and split != "train":
        raise ValueError(f'split must be "train" where neither path nor images has {{split}}, got "{split}"')
    path = os.fspath(path).replace("{split}", split)
    if not os.path.isfile(path):
        raise ValueError(f"path must be an existing .npz file, got {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"path must be an .npz file, got a file of another format: {path}")
    with np.load(path, allow_pickle=False) as file:
        x = _member(file, "images", images, split, path)
        label = None if labels is None else _member(file, "labels", labels, split, path)

    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise ValueError(f"images must be uint8 [N, H, W] or [N, H, W, C], got {x.dtype} {x.shape} in {path}")
    x = x[..., None] if x.ndim == 3 else x
    name = os.path.basename(path)
    if label is None:
        return Source(x, name=name)
    if label.dtype.kind not in "iu" or label.shape != (len(x),):
        raise ValueError(f"labels must be integers [{len(x)}], got {label.dtype} {label.shape} in {path}")
    num_classes = int(label.max(initial=0)) + 1 if num_classes is None else num_classes
    if label.max(initial=0) > np.iinfo(np.int32).max:
        raise ValueError(f"labels must fit into int32, got {label.max()} in {path}")
    return Source(x, label.astype(np.int32), num_classes, name)


def _member(file: np.lib.npyio.NpzFile, field: str, key: str, split: str, path: str) -> np.ndarray:
    key = key.replace("{split}", split)
    if key not in file.files:
        raise ValueError(f'{field} "{key}" is not in {path}, which holds {", ".join(sorted(file.files))}')
    return file[key]
