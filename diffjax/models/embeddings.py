"""Fixed embeddings of times, positions and values as sines and cosines.

Every published variant is `cos(t f_i), sin(t f_i)` over a set of frequencies `f_i`. They differ in three
things: which of the two comes first, whether the last frequency reaches `1/max_period`, and whether the
frequencies are geometric or random.

    DDPM, latent diffusion       order="sin_cos", shift=1
    guided-diffusion, DiT        order="cos_sin", shift=0        (the default)
    diffusers                    order="cos_sin" if flip_sin_to_cos else "sin_cos", shift=downscale_freq_shift
    EDM, positional              order="cos_sin", shift=1 if endpoint else 0
    EDM, NCSN++, Fourier         fourier_features with fixed random frequencies
"""

import math
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.types import Array, Float, Integer, Num

Order = Literal["cos_sin", "sin_cos"]


@checked
def timestep_embedding(
    t: Num[Array, " batch"],
    dim: int,
    *,
    max_period: float = 10_000.0,
    order: Order = "cos_sin",
    shift: float = 0.0,
) -> Float[Array, "batch dim"]:
    """Embed times as sinusoids with geometric frequencies from 1 down to about `1/max_period`.

    `f_i = max_period^(-i / (h - shift))`, `i = 0..h-1`, `h = dim // 2`. The frequencies are made in double
    precision on the host.

    Args:
      t: times [B], in the units in which 1 is one training step; fractions are welcome.
      dim: size of the embedding, at least 2. If it is odd, a zero is appended.
      max_period: the longest period over 2 pi, above 1.
      order: "cos_sin" or "sin_cos", which half comes first.
      shift: 0 or 1 in every published network; 1 makes the last frequency exactly `1/max_period`. Below `dim
        // 2`.

    Returns:
      [B, dim], float32 (float64 where `t` is float64).

    Raises:
      ValueError: for a `dim`, `max_period` or `shift` out of range, or another `order`.

    Reference: Vaswani et al. 2017, section 3.5; Ho et al. 2020, appendix B.
    """
    half = dim // 2
    if dim < 2:
        raise ValueError(f"dim: must be at least 2; got {dim}")
    if max_period <= 1:
        raise ValueError(f"max_period: must be above 1; got {max_period}")
    if shift >= half:
        raise ValueError(f"shift: must be below dim // 2 = {half}; got {shift}")
    frequencies = np.exp(-math.log(max_period) * np.arange(half) / (half - shift))
    embedding = _waves(t, frequencies, order)
    return jnp.pad(embedding, ((0, 0), (0, dim % 2)))


@checked
def fourier_features(
    t: Num[Array, " batch"], frequencies: Float[Array, " waves"], *, order: Order = "cos_sin"
) -> Float[Array, "batch features"]:
    """Embed times as sinusoids with given frequencies, usually drawn once from a wide normal.

    Args:
      t: times or log noise levels [B].
      frequencies: cycles per unit of `t`, [F].
      order: "cos_sin" (EDM) or "sin_cos" (score_sde, VDM).

    Returns:
      [B, 2F], float32 (float64 where `t` is float64).

    Raises:
      ValueError: for another `order`.

    Reference: Tancik et al. 2020, equation (1); Song et al. 2021, appendix C.2.
    """
    return _waves(t, 2 * np.pi * frequencies, order)


@checked
def octaves(
    x: Float[Array, "*space channels"], frequencies: int | Sequence[int]
) -> Float[Array, "*space features"]:
    """Append sines and cosines of the values of `x` in octaves: `[x, sin(2^n pi x), cos(2^n pi x)]`.

    With them a network tells apart what differs by little. For K equally spaced values in [-1, 1] the period
    of n = log2(K - 1) is the distance between neighbours: the phase says how far a value is off the grid.

    Args:
      x: values [..., C], floating point.
      frequencies: the exponents n, e.g. (7, 8) of the variational diffusion model for 256 values; or a number
        F of them from -1 on, n = -1, 0, ..., F - 2. 0 or () for none.

    Returns:
      [..., C (1 + 2 F)], in the dtype of x; sines and cosines are ordered by channel, then by n.

    Raises:
      ValueError: for a negative number, or exponents that are not integers.

    Reference: Kingma et al. 2021, appendix C; Tancik et al. 2020.
    """
    if isinstance(frequencies, int) and frequencies < 0:
        raise ValueError(f"frequencies: must be a number of octaves, at least 0; got {frequencies}")
    exponents = range(-1, frequencies - 1) if isinstance(frequencies, int) else frequencies
    phase = x[..., None] * jnp.asarray(np.pi * 2.0 ** np.array([*exponents]), x.dtype)
    phase = phase.reshape(*x.shape[:-1], -1)
    return jnp.concatenate([x, jnp.sin(phase), jnp.cos(phase)], axis=-1)


@checked
def sincos_2d(
    dim: int, grid: int | tuple[int, int], *, max_period: float = 10_000.0
) -> Float[Array, "places dim"]:
    """Make the fixed table of positions on a grid that DiT adds to its patches.

    The first half of the features is of the column (x), the second half of the row (y), each as [sin, cos].

    Args:
      dim: size of the embedding, divisible by 4.
      grid: patches along each side, or (height, width).
      max_period: the longest period over 2 pi, above 1.

    Returns:
      float64 numpy [height * width, dim], rows first.

    Raises:
      ValueError: if `dim` is not divisible by 4.

    Reference: Peebles & Xie 2023, section 3.2; He et al. 2022 (MAE).
    """
    if dim % 4 or dim < 4:
        raise ValueError(f"dim: must be a positive multiple of 4; got {dim}")
    height, width = (grid, grid) if isinstance(grid, int) else grid
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    frequencies = max_period ** (-np.arange(dim // 4) / (dim // 4))
    waves = [f(position[:, None] * frequencies) for position in (x, y) for f in (np.sin, np.cos)]
    return np.concatenate(waves, axis=-1)


def _waves(t, frequencies, order):
    t = jnp.asarray(t)
    t = t.astype(jnp.promote_types(t.dtype, jnp.float32))
    angles = t[:, None] * jnp.asarray(frequencies, t.dtype)
    halves = [jnp.cos(angles), jnp.sin(angles)]
    return jnp.concatenate(halves if order == "cos_sin" else halves[::-1], axis=-1)


def looked_up(table: Float[Array, "rows *features"], index: Integer[Array, "*shape"]) -> Array:
    """Return the rows of a table at integers; NaN, so that it shows, at one that has no row."""
    known = jnp.where((index >= 0) & (index < len(table)), index, len(table))
    return jnp.take(table, known, axis=0, mode="fill", fill_value=jnp.nan)
