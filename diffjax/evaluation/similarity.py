"""How alike two pictures are, pixel by pixel and window by window."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.types import Array, Float

_RANGE = 2.0  # of pixels in [-1, 1]
_WINDOW, _WIDTH = 11, 1.5  # pixels of the window's side, and its standard deviation


@checked
def psnr(
    x: Float[Array, "batch height width channels"], y: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """Return the peak signal-to-noise ratio of pictures in [-1, 1]: 10 log10(2^2 / mean (x - y)^2), in dB."""
    error = jnp.mean((x - y) ** 2, axis=(1, 2, 3))
    return 10 * jnp.log10(_RANGE**2 / jnp.maximum(error, 1e-10))


@checked
def ssim(
    x: Float[Array, "batch height width channels"], y: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """Return the structural similarity of pictures in [-1, 1], the mean over places and channels.

    (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2)) of the means and
    covariances in a Gaussian window of 11 x 11 pixels and standard deviation 1.5, or the whole of a smaller
    side; c_1 = (0.01 L)^2, c_2 = (0.03 L)^2 with L the range of pixels, which begin at 0.

    Args:
      x, y: [B, H, W, C].

    Returns:
      [B]; 1 for equal pictures.

    Reference: Wang et al. 2004, equation (13).
    """
    # about each channel's mean over the picture: E[x^2] - E[x]^2 loses its digits where the mean is large
    means = [jnp.mean(each, axis=(1, 2), keepdims=True) for each in (x, y)]
    x, y = x - means[0], y - means[1]
    mx, my = _blurred(x), _blurred(y)
    sx, sy, sxy = _blurred(x * x) - mx**2, _blurred(y * y) - my**2, _blurred(x * y) - mx * my
    mx, my = mx + means[0] + 1, my + means[1] + 1
    c1, c2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
    found = (2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sx + sy + c2))
    return jnp.mean(found, axis=(1, 2, 3))


def _blurred(x):
    """Return the weighted means of all whole windows."""
    for axis in (1, 2):
        size = min(_WINDOW, x.shape[axis])
        at = np.arange(size) - (size - 1) / 2
        window = np.exp(-0.5 * (at / _WIDTH) ** 2)
        window = (window / window.sum()).astype(np.float32)
        rows = x.shape[axis] - size + 1
        x = jnp.stack(
            [w * jax.lax.slice_in_dim(x, i, i + rows, axis=axis) for i, w in enumerate(window)]
        ).sum(0)
    return x


@checked
def bicubic(
    x: Float[Array, "batch height width channels"], values: int
) -> Float[Array, "batch height width channels"]:
    """Return pictures that were made small by cubic interpolation and large again.

    Args:
      x: [B, H, W, C] in [-1, 1].
      values: the small picture has at most so many numbers, and the proportions of the large one.
    """
    checks.count("values", values)
    height, width, channels = x.shape[1:]
    scale = min(1.0, float(np.sqrt(values / (height * width * channels))))
    small = tuple(max(1, int(side * scale + 1e-9)) for side in (height, width))
    few = jax.image.resize(x, (len(x), *small, channels), "cubic")
    return jnp.clip(jax.image.resize(few, x.shape, "cubic"), -1, 1)
