"""Samples beside what they were asked for: captions, and pictures of conditions at their left."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffjax import files
from diffjax.types import Array, UInt8

_GAP = 2  # white pixels between tiles
_TILE = 64  # pixels of a tile's side, at least
_TEXT = 11  # pixels of a caption's letters
_LINES = 4  # of a caption
_MARGIN = 150  # pixels of captions at the left of rows
_ROWS, _COLUMNS = 40, 10


def captioned(
    path: str | Path,
    images: UInt8[Array, "n h w c"],
    said: Sequence[str] | None = None,
    conditions: Sequence[UInt8[Array, "n ch cw cc"]] = (),
) -> Path:
    """Write images with what was asked of each.

    Where several were asked the same, they stand in a row behind it: its caption, its pictures, its images.
    Otherwise each image stands behind its pictures, with its caption below.

    Args:
      path: the PNG; its folder is made.
      images: uint8 [N, H, W, C] with C = 1 or 3, N at least 1. Of very many the first are shown.
      said: captions [N], or None.
      conditions: pictures [N, h, w, 1 or 3] of what was asked, of any size, that stand at the left.

    Returns:
      The file's path.

    Raises:
      ValueError: for other numbers of captions or pictures than of images.
    """
    path, images = Path(path), np.asarray(images)
    beside = [np.asarray(each) for each in conditions]
    for name, each in (("said", said), *(("conditions", each) for each in beside)):
        if each is not None and len(each) != len(images):
            raise ValueError(f"{name} must be [{len(images)}], one an image, got {len(each)}")
    groups = {}
    for i in range(len(images)):
        asked = (None if said is None else said[i], *(each[i].tobytes() for each in beside))
        groups.setdefault(asked, []).append(i)
    groups = list(groups.values())
    text = [""] * len(images) if said is None else [" ".join(str(each).split()) for each in said]
    side = max(1, -(-_TILE // max(images.shape[1:3]))) * np.array(images.shape[1:3])
    tiles = [[_tile(each[i], side) for each in (*beside, images)] for i in range(len(images))]
    shown = _in_rows if max(map(len, groups)) > 1 else _in_cells
    with files.whole(path) as file:
        shown(groups, tiles, text, side).save(file, format="PNG")
    return path


def _in_rows(groups, tiles, text, side):
    """Draw a row a group: caption, pictures, images."""
    groups = groups[:_ROWS]
    before = len(tiles[0]) - 1
    columns = before + min(_COLUMNS, max(map(len, groups)))
    (height, width), margin = side + _GAP, _MARGIN if any(text) else 0
    canvas, draw, font = _canvas(margin + columns * width + _GAP, len(groups) * height + _GAP)
    for row, group in enumerate(groups):
        top = _GAP + row * height
        lines = _wrapped(text[group[0]], font, margin - 3 * _GAP)[: max(1, int(side[0]) // (_TEXT + 2))]
        draw.multiline_text((_GAP, top), "\n".join(lines), fill="black", font=font, spacing=2)
        chosen = [*tiles[group[0]][:-1], *(tiles[i][-1] for i in group[:_COLUMNS])]
        for column, tile in enumerate(chosen):
            canvas.paste(tile, (margin + _GAP + column * width, top))
    return canvas


def _in_cells(groups, tiles, text, side):
    """Draw a cell an image: its pictures and itself, and its caption below."""
    order = [group[0] for group in groups][: _ROWS * _COLUMNS]
    each = len(tiles[0])
    columns = min(len(order), max(1, _COLUMNS // each))
    (height, width), below = side + _GAP, _LINES * (_TEXT + 2) + _GAP if any(text) else 0
    width = each * width + 2 * _GAP
    rows = -(-len(order) // columns)
    canvas, draw, font = _canvas(columns * width, rows * (height + below) + _GAP)
    for place, i in enumerate(order):
        left, top = _GAP + place % columns * width, _GAP + place // columns * (height + below)
        for j, tile in enumerate(tiles[i]):
            canvas.paste(tile, (left + j * (int(side[1]) + _GAP), top))
        lines = _wrapped(text[i], font, width - 2 * _GAP)[:_LINES]
        draw.multiline_text((left, top + height), "\n".join(lines), fill="black", font=font, spacing=2)
    return canvas


def _canvas(width, height):
    canvas = Image.new("RGB", (int(width), int(height)), "white")
    return canvas, ImageDraw.Draw(canvas), ImageFont.load_default(size=_TEXT)


def as_image(picture: UInt8[np.ndarray, "height width channels"]) -> Image.Image:
    """Return a picture of 1 or 3 channels as Pillow has it."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _tile(picture, side):
    """Return a picture at the size of a tile, in squares of its own pixels."""
    return as_image(picture).convert("RGB").resize((int(side[1]), int(side[0])), Image.Resampling.NEAREST)


def _wrapped(text, font, width):
    """Return the lines of a text, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
