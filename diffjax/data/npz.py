"""Images from one `.npz` file."""

import os

import numpy as np

from diffjax import archives
from diffjax.border import checked
from diffjax.data.sources import Source


@checked
def read(
    path: str | os.PathLike,
    split: str = "train",
    *,
    images: str = "{split}_image",
    labels: str | None = "{split}_label",
    num_classes: int | None = None,
    arrays: tuple[str, ...] | None = None,
    class_names: str | None = None,
) -> Source:
    """Read one split of an `.npz` file of images.

    `{split}` in `path`, `images` and `labels` stands for the split. Where neither `path` nor `images` has
    it, the file holds one split, "train"; a second one would silently be the same images.

    Args:
      path: the file, made by `np.savez`.
      split: "train", "test" or whatever the keys say.
      images: key of uint8 `[N, H, W]` or `[N, H, W, C]`, C = 1 or 3; a missing channel axis is added.
      labels: key of integers `[N]`, or None to read no labels.
      num_classes: number of classes; by default that of the class names, or one more than the largest label
        of this split.
      arrays: names of what else to read of each example, such as ("caption",): "caption" has the key
        "{split}_caption" where `images` has `{split}`, or else its name. Integers become int32, floats of 64
        bits float32.
      class_names: key of the names of the classes, strings `[num_classes]` for all splits; by default
        "class_names", where there is such an array. Not read without labels.

    Returns:
      A `Source` of uint8 images.

    Raises:
      ValueError: if the file, a key, a dtype or a shape is not as said above.
    """
    template = f"{os.fspath(path)} {images}"
    if "{split}" not in template and split != "train":
        raise ValueError(f'split must be "train" where neither path nor images has {{split}}, got "{split}"')
    path = os.path.expanduser(os.fspath(path).replace("{split}", split))
    keys = {name: "{split}_" * ("{split}" in images) + name for name in arrays or ()}
    keys |= {"images": images} | ({} if labels is None else {"labels": labels})
    there = archives.names(path)
    if labels is not None and (class_names or "class_names" in there):
        keys["class_names"] = class_names or "class_names"
    keys = {field: key.replace("{split}", split) for field, key in keys.items()}
    for field, key in keys.items():
        if key not in there:
            present = ", ".join(sorted(there)) or "nothing"
            raise ValueError(f'{field} "{key}" is not in {path}, which holds {present}')
    found = archives.read(path, set(keys.values()))
    found = {field: found[key] for field, key in keys.items()}

    x = found["images"]
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise ValueError(f"images must be uint8 [N, H, W] or [N, H, W, C], got {x.dtype} {x.shape} in {path}")
    x = x[..., None] if x.ndim == 3 else x
    name = os.path.basename(path)
    more = {each: _narrow(found[each], each, path) for each in arrays or ()}
    if labels is None:
        return Source(x, name=name, arrays=more)
    label = found["labels"]
    if label.dtype.kind not in "iu" or label.shape != (len(x),):
        raise ValueError(f"labels must be integers [{len(x)}], got {label.dtype} {label.shape} in {path}")
    names = _class_names(found["class_names"], path) if "class_names" in found else None
    if num_classes is None:
        num_classes = int(label.max(initial=0)) + 1 if names is None else len(names)
    return Source(x, _int32(label, "labels", path), num_classes, name, more, names)


def _class_names(names, path):
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError(f"class_names must be strings [K], got {names.dtype} {names.shape} in {path}")
    return tuple(names.tolist())


def _narrow(array, field, path):
    """Return an array as a device computes with it: whole numbers of at most 32 bits, floats too."""
    if array.dtype.itemsize < 4 or array.dtype.kind not in "iuf":
        return array
    return array.astype(np.float32) if array.dtype.kind == "f" else _int32(array, field, path)


def _int32(array, field, path):
    limits = np.iinfo(np.int32)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        raise ValueError(f"{field} must fit into int32, got {array.min()} to {array.max()} in {path}")
    return array.astype(np.int32)
