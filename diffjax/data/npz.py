"""Images or latents from one `.npz` file."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from diffjax import archives
from diffjax.border import checked
from diffjax.data.sources import Source, narrow
from diffjax.data.squares import square


@checked
def read(
    path: str | os.PathLike,
    split: str = "train",
    *,
    images: str = "{split}_image",
    labels: str | None = "{split}_label",
    num_classes: int | None = None,
    arrays: Sequence[str] | None = None,
    label_names: str | None = None,
    is_test: str | None = None,
    left_out: str | None = None,
    only: tuple[str, int] | None = None,
    size: int | None = None,
) -> Source:
    """Read one split of an `.npz` file of images, or of latents that were made of images beforehand.

    `{split}` in `path`, `images` and `labels` stands for the split. Where neither `path` nor `images` has
    it, the file holds one split, "train"; a second one would silently be the same images. Or `is_test` tells
    the splits "train" and "test" apart in arrays that hold both.

    Args:
      path: the file, made by `np.savez`.
      split: "train", "test" or whatever the keys say.
      images: key of uint8 `[N, H, W]` or `[N, H, W, C]`, C = 1 or 3; a missing channel axis is added. Or of
        latents, floats `[N, H, W, C]` that a model sees as they are, in float32.
      labels: key of integers `[N]`, or None to read no labels.
      num_classes: number of classes; by default that of the class names, or one more than the largest label
        of this split.
      arrays: names of what else to read of each example, such as ("caption",): "caption" has the key
        "{split}_caption" where `images` has `{split}`, or else its name. Integers become int32, floats of 64
        bits float32.
      label_names: key of the names of the classes, strings `[num_classes]` for all splits; by default
        "class_names", where there is such an array. Not read without labels.
      is_test: key of bool `[N]`, the examples of the split "test"; the others are "train".
      left_out: key of bool `[N]`, the examples of neither split, such as repeated ones.
      only: key of integers `[N]` and the number of those that are read, such as the kind of a picture.
      size: side of the square images that are made of these, see `squares.square`; None leaves them alone.

    Returns:
      A `Source` of uint8 images, or float32 latents.

    Raises:
      ValueError: if the file, a key, a dtype or a shape is not as said above.
    """
    template = f"{os.fspath(path)} {images}"
    if is_test is not None and ("{split}" in template or split not in ("train", "test")):
        found = f'split "{split}" of {template}'
        raise ValueError(f'is_test tells "train" and "test" of one file apart, got {found}')
    if is_test is None and "{split}" not in template and split != "train":
        raise ValueError(f'split must be "train" where neither path nor images has {{split}}, got "{split}"')
    path = os.path.expanduser(os.fspath(path).replace("{split}", split))
    keys = {"images": images, "labels": labels, "is_test": is_test, "left_out": left_out}
    kind, number = (None, None) if only is None else only
    keys["only"] = kind
    there = archives.names(path)
    if labels is not None:
        keys["label_names"] = label_names or ("class_names" if "class_names" in there else None)
    keys = {field: key.replace("{split}", split) for field, key in keys.items() if key is not None}
    prefix = f"{split}_" if "{split}" in images else ""
    more = {name: prefix + name for name in arrays or ()}
    for field, key in [*keys.items(), *more.items()]:
        if key not in there:
            present = ", ".join(sorted(there)) or "nothing"
            raise ValueError(f'{field} "{key}" is not in {path}, which holds {present}')
    read = archives.read(path, {*keys.values(), *more.values()})
    found = {field: read[key] for field, key in keys.items()}
    more = {name: narrow(read[key], f"{name} in {path}") for name, key in more.items()}

    x = found["images"]
    if x.dtype.kind == "f" and x.ndim == 4:
        x = x.astype(np.float32, copy=False)
    elif x.dtype != np.uint8 or x.ndim not in (3, 4):
        found = f"got {x.dtype} {x.shape} in {path}; latents are floats [N, H, W, C]"
        raise ValueError(f"images must be uint8 [N, H, W] or [N, H, W, C], {found}")
    x = x[..., None] if x.ndim == 3 else x
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    label, names = _label(found, len(x), path), _class_names(found, path)
    if label is not None and num_classes is None:
        num_classes = len(names) if names else int(label.max(initial=0)) + 1
    num_classes = None if label is None else num_classes
    source = Source(x, label, num_classes, os.path.basename(path), more, names)
    if found.keys() & {"is_test", "left_out", "only"}:
        source = source.take(np.flatnonzero(_mask(found, len(x), split, path, number)))
    if size is None or source.shape[:2] == (size, size):
        return source
    return dataclasses.replace(source, x=np.stack([square(each, size) for each in np.asarray(source.x)]))


def _label(found, count, path):
    label = found.get("labels")
    if label is None:
        return None
    if label.dtype.kind not in "iu" or label.shape != (count,):
        raise ValueError(f"labels must be integers [{count}], got {label.dtype} {label.shape} in {path}")
    return narrow(label, f"labels in {path}").astype(np.int32)


def _class_names(found, path):
    names = found.get("label_names")
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError(f"label_names must be strings [K], got {names.dtype} {names.shape} in {path}")
    return tuple(names.tolist())


def _mask(found, count, split, path, number):
    """Return which examples of a file of both splits are of this one, bool [N]."""
    chosen = np.ones(count, bool)
    for field, kinds, told in (
        ("is_test", "b", "bool"),
        ("left_out", "b", "bool"),
        ("only", "iu", "integers"),
    ):
        each = found.get(field)
        if each is None:
            continue
        if each.dtype.kind not in kinds or each.shape != (count,):
            raise ValueError(f"{field} must be {told} [{count}], got {each.dtype} {each.shape} in {path}")
        chosen &= each == {"is_test": split == "test", "left_out": False, "only": number}[field]
    if not chosen.any():
        fields = " and ".join(field for field in ("is_test", "left_out", "only") if field in found)
        raise ValueError(f'{fields} leave no example for "{split}" in {path}')
    return chosen
