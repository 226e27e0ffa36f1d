"""One convention for making a square image of a given size out of any other."""

import numpy as np

from diffjax.types import UInt8


def square(
    pixels: UInt8[np.ndarray, "height width channels"], size: int
) -> UInt8[np.ndarray, "size size channels"]:
    """Shrink or enlarge an image until its shorter side is `size`, and cut out the middle.

    The sides are halved by 2x2 means while the shorter one is at least twice `size`; a bicubic filter goes
    the rest of the way. Pixels are rounded to 8 bits after every pass, sides to whole pixels. It is the
    convention of ADM, so that distances between sets compare with published ones.

    Args:
      pixels: uint8 [H, W, C], C = 1 or 3.
      size: side of the result.

    Returns:
      uint8 [size, size, C].

    Reference:
      Dhariwal & Nichol 2021, as published in their code's image pipeline.
    """
    from PIL import Image  # arrays that are left as they are need none

    channels = pixels.shape[-1]
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    ratio = size / min(image.size)
    width, height = round(image.width * ratio), round(image.height * ratio)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image)[top : top + size, left : left + size].reshape(size, size, channels)
