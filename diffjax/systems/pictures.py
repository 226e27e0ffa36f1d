"""Maps as parts of a request, and how pictures are read: what lies beside the pixels that a network sees."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax import archives
from diffjax.data import image_files
from diffjax.models.encoders import PictureMap, SemanticMap, resized
from diffjax.pixels import to_model, to_uint8
from diffjax.systems.about import About
from diffjax.systems.requests import NONE, Asked, of_each, require_classes, rows_of
from diffjax.training.system import Part

_GOLDEN = 0.618033988749895  # hues that are far from each other


def semantic_map(
    about: About,
    *,
    array: str | None = None,
    num_classes: int | None = None,
    channels: int | None = None,
    features: int | None = None,
) -> Asked:
    """Make a map as large as the picture: of classes, int [n, H, W], or of numbers, float32 [n, H, W, C].

    A user gives arrays, or files: of classes a grey image or one with a palette, whose pixels are their
    numbers, or `.npy`; of numbers an image (C = 1 or 3), or `.npy`.

    Args:
      about: see `About`.
      array: of the data that holds the maps; None for the part's own name.
      num_classes: of a map of classes.
      channels: C of a map of numbers.
      features: learned channels of a class; None for one channel a class.
    """
    if (num_classes is None) == (channels is None):
        raise ValueError("one of num_classes and channels must be given")
    name, array, space = about.name, about.name if array is None else array, about.shape[:-1]
    if num_classes is None:
        if features is not None:
            raise ValueError(f"features are of a map of classes (num_classes), got {features}")
        return _numbers(about, array, (*space, channels))

    def prepare(folder, source):
        del folder
        if source is not None:
            require_classes(name, array, source[array], num_classes, space)
        return source

    made = _classes(about, num_classes, features, lambda batch: jnp.asarray(batch[array], jnp.int32))
    row = jax.ShapeDtypeStruct((1, *space), jnp.int32)
    return made._replace(example={array: row}, prepare=prepare)


def colour_map(
    about: About, *, shades: int = 2, size: int | None = None, features: int | None = None
) -> Asked:
    """Make a map of the picture's own colours, cut into few: int [n, H, W] in 0..shades^C - 1.

    In training it is made of the picture; a user gives one as of `semantic_map`. Pixel x of channel c is in
    shade floor(shades (x + 1) / 2), the digits of the class, the first channel's first.

    Args:
      about: see `About`.
      shades: of each channel.
      size: side to which the picture is made smaller first, so that the map is coarse; None for its own.
      features: see `semantic_map`.
    """
    *space, channels = about.shape
    if shades < 2:
        raise ValueError(f"shades must be at least 2, got {shades}")
    if size is not None and (size < 1 or any(side % size for side in space)):
        raise ValueError(f"size must divide the picture's {tuple(space)}, got {size}")

    def made(batch):
        x = batch["x"]
        if size is not None:
            x = resized(x, (size, size))
            x = x.repeat(space[0] // size, axis=1).repeat(space[1] // size, axis=2)
        shade = jnp.clip((0.5 * shades * (x + 1)).astype(jnp.int32), 0, shades - 1)
        return shade @ jnp.array([shades**i for i in reversed(range(channels))])

    digits = np.stack(np.meshgrid(*[np.arange(shades)] * channels, indexing="ij"), -1).reshape(-1, channels)
    colours = digits * 255 / (shades - 1)
    colours = colours if channels == 3 else colours[:, :1].repeat(3, axis=1)
    return _classes(about, shades**channels, features, made, colours)


def _classes(about, num_classes, features, of_batch, colours=None):
    name, space = about.name, about.shape[:-1]
    blank = lambda n: {"": np.full((n, *space), num_classes, np.int32)}

    def one(value):
        if about.null and isinstance(value, str) and value == NONE:
            return blank(1)[""][0]
        found = _file(value, image_files.classes)
        if found.shape != space or found.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be integers of shape {space}, the size of the picture, got {found.dtype} "
                f"{found.shape}{_of(value)}"
            )
        low, high = found.min(), found.max()
        if low < 0 or high >= num_classes:
            raise ValueError(f"{name} must be in 0..{num_classes - 1}, got {low} to {high}{_of(value)}")
        return found.astype(np.int32)

    return Asked(
        parts={"": Part(space, jnp.int32)},
        module=SemanticMap(num_classes, features),
        of_batch=lambda _, batch: {"": of_batch(batch)},
        of_user=of_each(name, one),
        default=optional(about, blank),
        nothing=blank,
        picture=lambda own: _coloured(np.asarray(own[""]), num_classes, colours),
    )


def _numbers(about, array, shape):
    name = about.name
    blank = lambda n: {"": np.full((n, *shape), np.nan, np.float32)}

    def prepare(folder, source):
        del folder
        if source is not None and (source[array].dtype.kind != "f" or source[array].shape[1:] != shape):
            found = f"{source[array].dtype} {list(source[array].shape)}"
            raise ValueError(f"{name}: array {array!r} must be floats [N, {str(shape)[1:-1]}], got {found}")
        return source

    return Asked(
        parts={"": Part(shape, jnp.float32)},
        module=PictureMap(),
        of_batch=lambda _, batch: {"": jnp.asarray(batch[array], jnp.float32)},
        of_user=lambda given, n: {"": pictures_of(about, given[""], n, {shape: lambda x: x})},
        default=optional(about, blank),
        nothing=blank,
        picture=shown,
        example={array: jax.ShapeDtypeStruct((1, *shape), jnp.float32)},
        prepare=prepare,
    )


def optional(about: About, blank: Callable[[int], Any]) -> Callable[[int], Any]:
    """Return the default of a part: nothing, or a refusal where training always had something."""

    def default(n):
        if not about.null:
            raise ValueError(f"{about.name} must be given: the model was trained with one always")
        return blank(n)

    return default


def pictures_of(
    about: About, values: Sequence[Any], n: int, takes: Mapping[tuple[int, ...], Callable[[Any], Any]]
) -> np.ndarray:
    """Return pictures in [-1, 1], float32 [n, h, w, C], of arrays, files, or "none".

    Args:
      about: of the part.
      values: uint8 or float arrays [h, w, C], files of images, or `.npy` files of such arrays.
      n: rows, in turn.
      takes: {shape that may be given: what is made of [1, h, w, C]}.
    """
    channels = about.shape[-1] if about.shape in takes else next(iter(takes))[-1]
    blank = np.full(next(iter(takes)), np.nan, np.float32)

    def one(value):
        if about.null and isinstance(value, str) and value == NONE:
            return blank
        found = _file(value, lambda path: image_files.read(path, channels, "white"))
        if found.shape not in takes or (found.dtype.kind != "f" and found.dtype != np.uint8):
            allowed = " or ".join(map(str, takes))
            raise ValueError(
                f"{about.name} must be uint8 or float of shape {allowed}, got {found.dtype} "
                f"{found.shape}{_of(value)}"
            )
        found = to_model(found) if found.dtype == np.uint8 else found
        if not np.isfinite(found).all() or np.abs(found).max() > 1 + 1e-6:
            raise ValueError(f"{about.name} must be in [-1, 1]{_of(value)}")
        return np.asarray(takes[found.shape](found[None].astype(np.float32)))[0]

    return rows_of(about.name, [one(each) for each in values], n)


def images(name: str, values: Sequence[Any], n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return pictures of one shape [H, W, C], of arrays or files in turn: float32 [n, H, W, C] in [-1, 1]."""
    return pictures_of(About(name, nn.Module(), shape, False, None), values, n, {shape: lambda x: x})


def masks(name: str, values: Sequence[Any], n: int, space: tuple[int, ...]) -> np.ndarray:
    """Return masks, bool [n, H, W, 1], of arrays of 0 and 1 [H, W] or files in turn.

    In an image file True is what is white: grey of 128 or more, on black where it is transparent.

    Raises:
      ValueError: for another size, other numbers than 0 and 1, or a mask that is nowhere True.
    """

    def one(value):
        found = _file(value, lambda path: image_files.read(path, 1, "black")[..., 0] >= 128)
        if found.shape not in (space, (*space, 1)):
            raise ValueError(
                f"{name} must be of shape {space}, the size of the picture, got {found.shape}{_of(value)}"
            )
        if not np.isin(found, (0, 1)).all():
            raise ValueError(f"{name} must hold 0 and 1 alone{_of(value)}")
        if not found.any():
            raise ValueError(f"{name} must have a known pixel, which is white or 1, got none{_of(value)}")
        return found.reshape(*space, 1).astype(bool)

    return rows_of(name, [one(each) for each in values], n)


def _file(value, read):
    """Return the array in a file, or that is given."""
    if not isinstance(value, str | Path):
        return np.asarray(value)
    path = Path(value).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return archives.one(path) if path.suffix == ".npy" else read(path)


def _of(value):
    return f" of {value}" if isinstance(value, str | Path) else ""


def shown(own: Mapping[str, Any]) -> np.ndarray:
    """Return pictures as uint8 with 1 or 3 channels; what says nothing is grey."""
    x = np.asarray(own[""])
    x = to_uint8(np.where(np.isfinite(x), x, 0).astype(np.float32))
    return x if x.shape[-1] in (1, 3) else x[..., :1]


def _coloured(classes, num_classes, colours=None):
    """Return maps of classes as colours [num_classes, 3] in 0..255, uint8 [n, H, W, 3]; of no class white."""
    if colours is None:
        hue = (np.arange(num_classes) * _GOLDEN)[:, None] + np.array([0, 1, 2]) / 3
        colours = 255 * (0.55 + 0.4 * np.cos(2 * np.pi * hue))
    table = np.concatenate([np.rint(colours), np.full((1, 3), 255)]).astype(np.uint8)
    return table[np.clip(classes, 0, num_classes)]
