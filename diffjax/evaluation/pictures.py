"""Pictures of samples: tiled images, and points in the plane beside their data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 2  # white pixels between tiles
_MOST = 400  # images in the picture of many
_CELL = 48  # pixels a small image is enlarged to, at least


def grid(
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray | None = None,
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
        labels = np.asarray(labels)
        rows = [
            (str(name) if i == 0 else None, part)
            for name in np.unique(labels)
            for i, part in enumerate(_rows(np.flatnonzero(labels == name), columns))
        ]

    scale = max(1, -(-_CELL // max(images.shape[1:3]))) if scale is None else scale
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
            tile = Image.fromarray(tile[..., 0] if tile.shape[-1] == 1 else tile)
            canvas.paste(tile, (margin + _GAP + j * (width + _GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, format="PNG")
    return path


def of_samples(
    path: str | Path,
    gives: str,
    x: np.ndarray,
    said: Sequence[str] | None = None,
    reference: np.ndarray | None = None,
) -> Path | None:
    """Draw some samples by what they are.

    Args:
      path: the PNG.
      gives: "images", "points" or "embeddings", as `System.gives`.
      x: the samples: uint8 images, points in the plane.
      said: what was asked of each, or None.
      reference: real points to be drawn beside.

    Returns:
      The file's path, or None where there is nothing to see: embeddings, points of other dimensions.
    """
    if gives == "images":
        chosen = _spread(x, said)
        return grid(path, x[chosen], None if said is None else np.asarray(said)[chosen])
    if gives == "points" and x.shape[1:] == (2,):
        return scatter(path, x, reference)
    return None


def _spread(x, said):
    """Return which samples to show: of each kind as many as of the others, the first, at most `_MOST`."""
    if len(x) <= _MOST or said is None:
        return np.arange(min(len(x), _MOST))
    kinds = np.unique(np.asarray(said), return_inverse=True)[1]
    order = np.argsort(kinds, kind="stable")
    rank = np.empty(len(kinds), int)
    rank[order] = np.concatenate([np.arange(n) for n in np.bincount(kinds)])
    return np.sort(np.lexsort((kinds, rank))[:_MOST])


def scatter(path: str | Path, points: np.ndarray, reference: np.ndarray | None = None) -> Path:
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
        axis.set(title=f"{title} ({len(values):,})", aspect="equal")
        axis.grid(alpha=0.3)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, format="png", bbox_inches="tight")
    return path


def _rows(indices, columns):
    return [indices[i : i + columns] for i in range(0, len(indices), columns)]


def _check(images, labels, columns, scale):
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"images must be uint8 [N, H, W, 1 or 3] with N >= 1, got {images.dtype} {list(images.shape)}"
        )
    if labels is not None and np.shape(labels) != (len(images),):
        raise ValueError(f"labels must be [{len(images)}], one an image, got shape {list(np.shape(labels))}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if scale is not None and scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
