"""Pictures of samples: tiled images, and points in the plane beside their data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffjax import files
from diffjax.evaluation.captioned import as_image, captioned
from diffjax.pixels import require_images
from diffjax.rows import spread
from diffjax.types import Array, Float, Num, UInt8

_GAP = 2  # white pixels between tiles
_MOST = 400  # tiles of a picture
_HIGHEST = 12_000  # pixels, of a picture that viewers open
_A_CLASS = 10  # tiles of a class
_CELL = 48  # pixels a small image is enlarged to, at least
_LONGEST = 24  # characters of a name beside a row


def of_samples(
    path: str | Path,
    gives: str,
    x: Num[Array, "n *shape"],
    said: Sequence[str] | None = None,
    reference: Num[Array, "m *shape"] | None = None,
    conditions: Sequence[UInt8[Array, "n ch cw cc"]] = (),
) -> Path | None:
    """Write a picture of samples, of a part of them where there are more than can be looked at.

    Args:
      path: the PNG; its folder is made. One that is there is removed where there is nothing to show.
      gives: what they are, "images", "points" or "embeddings".
      x: uint8 images [N, H, W, C], points [N, D] or embeddings [N, ...].
      said: what each was asked for, or None. Classes begin rows of their own; captions stand below.
      reference: data that points are shown beside, [M, D].
      conditions: pictures [N, h, w, 1 or 3] of what each image was asked for, which stand at its left.

    Returns:
      The file's path, or None: points that are not in the plane and embeddings have no picture.
    """
    path = Path(path)
    if gives == "images":
        x, names = np.asarray(x), None if said is None else np.asarray([_short(each) for each in said])
        captions = said is not None and (len(set(said)) == len(said) > 1 or max(map(len, said)) > _LONGEST)
        if len(conditions) or captions:
            return captioned(path, x, said, conditions)
        chosen = shown(len(x), names, x.shape[1])
        names = None if names is None else names[chosen]
        classes = names is not None and len(set(names)) < len(names)
        return grid(path, x[chosen], names if classes else None)
    if gives == "points" and np.ndim(x) == 2 and x.shape[1] == 2:
        return scatter(path, x, reference)
    path.unlink(missing_ok=True)
    return None


def shown(count: int, names: Sequence[Any] | np.ndarray | None = None, height: int = _CELL) -> np.ndarray:
    """Choose which of many images a picture shows: as many as can be looked at, the same for the same sizes.

    Args:
      count: number N of images.
      names: [N] classes, or None. Of each class the first ten are shown, and of many classes an even choice.
      height: of an image in pixels.

    Returns:
      Indices int, in rising order.
    """
    rows = max(1, min(_MOST // _A_CLASS, _HIGHEST // (height * _scale(height) + _GAP)))
    if names is None:
        return spread(min(count, rows * _A_CLASS), count)
    kinds = np.asarray(names)
    classes = _in_order(kinds)
    chosen = [classes[i] for i in spread(min(rows, len(classes)), len(classes))]
    return np.sort(np.concatenate([np.flatnonzero(kinds == each)[:_A_CLASS] for each in chosen]))


def grid(
    path: str | Path,
    images: UInt8[Array, "n h w c"],
    labels: Sequence[Any] | np.ndarray | None = None,
    columns: int = 10,
    scale: int | None = None,
) -> Path:
    """Write images as the tiles of one PNG.

    Args:
      path: the file; its folder is made.
      images: uint8 [N, H, W, C] with C = 1 or 3, N at least 1.
      labels: [N] integers or short strings. Then every class, in rising order, begins a row of its own with
        its label at the left; within a class images keep their order.
      columns: tiles in a row.
      scale: every pixel becomes a square of this side; None enlarges small images to about 48 pixels.

    Returns:
      The file's path.

    Raises:
      ValueError: for other images, a number of labels that is not N, or a count below 1.
    """
    path, images = Path(path), np.asarray(images)
    _check(images, labels, columns, scale)
    if labels is None:
        rows = [(None, part) for part in _rows(np.arange(len(images)), columns)]
    else:
        asked = np.asarray(labels)
        rows = [
            (str(name) if i == 0 else None, part)
            for name in _in_order(asked)
            for i, part in enumerate(_rows(np.flatnonzero(asked == name), columns))
        ]

    scale = _scale(max(images.shape[1:3])) if scale is None else scale
    height, width = (scale * side for side in images.shape[1:3])
    font = ImageFont.load_default(size=max(12, min(24, height // 2)))
    margin = max((int(font.getlength(name)) for name, _ in rows if name), default=0)
    margin += 3 * _GAP if margin else 0
    columns = max(len(part) for _, part in rows)
    size = (margin + columns * (width + _GAP) + _GAP, len(rows) * (height + _GAP) + _GAP)
    canvas = Image.new("L" if images.shape[-1] == 1 else "RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for i, (name, part) in enumerate(rows):
        top = _GAP + i * (height + _GAP)
        if name:
            draw.text((margin - 2 * _GAP, top + height / 2), name, fill="black", font=font, anchor="rm")
        for j, index in enumerate(part):
            tile = images[index].repeat(scale, axis=0).repeat(scale, axis=1)
            canvas.paste(as_image(tile), (margin + _GAP + j * (width + _GAP), top))
    with files.whole(path) as file:
        canvas.save(file, format="PNG")
    return path


def scatter(
    path: str | Path, points: Float[Array, "n d"], reference: Float[Array, "m d"] | None = None
) -> Path:
    """Write points in the plane as a PNG, beside the data they should look like.

    Args:
      path: the file; its folder is made.
      points: [N, 2] samples.
      reference: [M, 2] data, drawn at the left on the same axes, or None.

    Returns:
      The file's path.

    Raises:
      ValueError: unless the points have two coordinates.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    panels = {"samples": np.asarray(points)}
    if reference is not None:
        panels = {"data": np.asarray(reference)} | panels
    for title, values in panels.items():
        if values.ndim != 2 or values.shape[1] != 2:
            raise ValueError(f"{title} must be points [N, 2], got shape {list(values.shape)}")
    figure = Figure(figsize=(4 * len(panels), 4))
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (title, values), color in zip(axes, panels.items(), ("C0", "C1")[-len(panels) :]):
        size = np.clip(4000 / len(values), 1, 12)
        axis.scatter(*values.T, s=size, alpha=0.5, linewidths=0, color=color)
        axis.set(title=f"{title} ({len(values):,})", aspect="equal", xlabel="x₁", ylabel="x₂")
        axis.grid(alpha=0.3)
    with files.whole(path) as file:
        figure.savefig(file, dpi=120, format="png", bbox_inches="tight")
    return Path(path)


def _short(name):
    name = " ".join(str(name).split())
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _scale(side):
    return max(1, -(-_CELL // side))


def _in_order(names):
    """Return the distinct names in rising order, numbers by their value and before words."""
    key = lambda name: (0, int(name), "") if str(name).isdigit() else (1, 0, str(name))
    return sorted(set(np.asarray(names).tolist()), key=key)


def _rows(indices, columns):
    return [indices[i : i + columns] for i in range(0, len(indices), columns)]


def _check(images, labels, columns, scale):
    require_images(images)
    if labels is not None and np.shape(labels) != (len(images),):
        raise ValueError(f"labels must be [{len(images)}], one an image, got shape {list(np.shape(labels))}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if scale is not None and scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
