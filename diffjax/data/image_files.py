"""One image file: what is checked before it is needed, and its pixels."""

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from diffjax.data.squares import square
from diffjax.files import one_line
from diffjax.types import UInt8

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NOT_READ = (
    ".gif",
    ".tif",
    ".tiff",
    ".jfif",
    ".avif",
    ".heic",
    ".heif",
    ".jp2",
    ".ppm",
    ".pgm",
    ".tga",
    ".ico",
)
MODES = {1: "L", 3: "RGB"}
GROUNDS = {"white": 255, "black": 0}
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow knows others, of which some start programs


def decode(
    file: str | os.PathLike, size: int, channels: int, alpha: str | None
) -> UInt8[np.ndarray, "size size channels"]:
    """Return the pixels of a file, upright, as a square.

    Args:
      file, channels, alpha: as of `read`.
      size: side of the result, see `squares.square`.

    Raises:
      ValueError: as `read`.
    """
    return square(read(file, channels, alpha), size)


def read(
    file: str | os.PathLike, channels: int, alpha: str | None
) -> UInt8[np.ndarray, "height width channels"]:
    """Return the pixels of a file, upright.

    Args:
      file: of PNG, JPEG, WebP or BMP, whatever its name ends in.
      channels: 1 or 3. Grey, palettes, CMYK and YCbCr become what is asked for by Pillow's rules.
      alpha: "white" or "black", the ground of what is transparent; None refuses it.

    Raises:
      ValueError: naming the file, if it cannot be decoded, has more than 8 bits a channel, moves, or is
        transparent where `alpha` is None; also where the checksums of a PNG do not fit.
    """
    with named(file):
        return pixels(_content(file), channels, alpha, upright=True)


def pixels(
    content: bytes, channels: int, alpha: str | None, upright: bool = False
) -> UInt8[np.ndarray, "height width channels"]:
    """Return the pixels of what an image file holds.

    Args:
      content: of PNG, JPEG, WebP or BMP.
      channels: as of `read`.
      alpha: as of `read`.
      upright: turn the image as its EXIF data say.

    Returns:
      uint8 [H, W, channels].

    Raises:
      Exception: of Pillow, or as `read`, without a name.
    """
    with _opened(content) as image:
        flat = _flat(image, alpha)
        flat = ImageOps.exif_transpose(flat) if upright else flat
        return np.asarray(flat.convert(MODES[channels])).reshape(flat.height, flat.width, channels)


def classes(file: str | os.PathLike) -> UInt8[np.ndarray, "height width"]:
    """Return what the pixels of a grey file, or of one with a palette, are: numbers and not colours.

    Args:
      file: a PNG or BMP of 8 bits or less.

    Returns:
      uint8 [H, W].

    Raises:
      ValueError: naming the file, if it has colours or cannot be read.
    """
    with named(file), _opened(_content(file)) as image:
        if image.mode not in ("L", "P", "1"):
            raise ValueError(f"a pixel is a class where it is grey or of a palette; these are {image.mode}")
        return np.asarray(image, np.uint8)


def check(file: str | os.PathLike, channels: int, alpha: str | None) -> None:
    """Raise for a file that `decode` refuses, as far as its beginning and its end tell.

    A file that is cut off, is of another format, has too many bits, moves or has an alpha channel (these are
    decoded to see whether they use it) is found; bytes that are wrong in the middle are not.
    """
    with named(file), open(file, "rb") as opened:
        with _opened(opened) as image:
            kind, unclear = image.format, image.has_transparency_data and alpha is None
        size = opened.seek(0, io.SEEK_END)
        opened.seek(max(size - 12, 0))
        end = opened.read()
        opened.seek(0)
        start = opened.read(8)
    whole = {
        "PNG": end[4:8] == b"IEND",
        "JPEG": end[-2:] == b"\xff\xd9",
        "WEBP": int.from_bytes(start[4:8], "little") + 8 == size,
        "BMP": int.from_bytes(start[2:6], "little") == size,
    }
    if unclear or kind not in whole or not whole[kind]:
        decode(file, 1, channels, alpha)


def _content(file):
    """Return the bytes of a file, of a PNG compared with its checksums."""
    content = pathlib.Path(file).read_bytes()
    if content.startswith(b"\x89PNG"):
        with _opened(content) as image:
            image.verify()
    return content


@contextlib.contextmanager
def named(what: str | os.PathLike) -> Iterator[None]:
    """Turn whatever is raised inside into one line that says what cannot be read."""
    try:
        yield
    except Exception as error:  # what Pillow raises on a broken file depends on its format
        raise ValueError(f"{what} cannot be read as an image: {one_line(error)}") from error


@contextlib.contextmanager
def _opened(file) -> Iterator[Image.Image]:
    """Open a file, or the content of one, as far as its header; refuse what 8 bits a channel cannot hold."""
    try:
        image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"it is none of {', '.join(_FORMATS)}") from error
    with image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"its pixels are of type {image.mode}, and 8 bits a channel are needed")
        if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
            raise ValueError("it moves, and one picture is needed")
        yield image


def _flat(image: Image.Image, alpha: str | None) -> Image.Image:
    """Return an image without transparency."""
    if not image.has_transparency_data:
        return image
    picture = image.convert("RGBA")
    if alpha is None:
        if np.asarray(picture.getchannel("A")).min() < 255:
            raise ValueError('it is transparent: alpha="white" or alpha="black" says on what ground it lies')
    else:
        ground = Image.new("RGBA", picture.size, (*[GROUNDS[alpha]] * 3, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB")
