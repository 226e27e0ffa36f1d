"""Linear operators that measure a picture: what hides, blurs or shrinks it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.guidance import strength
from diffjax.process import checks
from diffjax.process.level import expand
from diffjax.types import Array, ArrayLike, Shaped


class Operator(NamedTuple):
    """A linear map A of each sample.

    Attributes:
      apply: x `[B, ...]` -> A x `[B, ...]`.
      adjoint: y -> A^T y, shaped like x.
      solve: (y, a, b) -> (a A A^T + b)^-1 y, a and b scalars or `[B]`; where that is singular (b = 0), the
        least solution.
    """

    apply: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]
    solve: Callable[[Array, ArrayLike, ArrayLike], Array]


@checked
def mask(known: Shaped[Array, "..."]) -> Operator:
    """Keep what is known and set the rest to 0.

    Args:
      known: 1 or True where it is; shaped like x, or like one sample, with 1 channel or all.

    Raises:
      ValueError: for other numbers than 0 and 1, no known pixel, or (when applied) another shape than x.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> guidance.operators.mask(jnp.array([1, 0])).apply(jnp.full((1, 2), 3.0)).tolist()
      [[3.0, 0.0]]
    """
    known_of("known", known)
    cut = lambda x: jnp.where(known_of("known", known, x.shape), x, 0)

    return Operator(cut, cut, lambda y, a, b: cut(_over(y, expand(a, y) + expand(b, y))))


@checked
def average(factor: int) -> Operator:
    """Shrink pictures `[B, H, W, C]` by the mean of blocks of factor x factor pixels.

    Raises:
      ValueError: for a factor below 1, or (when applied) a picture that it does not divide.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> small = guidance.operators.average(2).apply(jnp.arange(4.0).reshape(1, 2, 2, 1))
      >>> small.ravel().tolist()
      [1.5]
    """
    f = checks.count("factor", factor)

    def apply(x):
        if x.ndim != 4 or x.shape[1] % f or x.shape[2] % f:
            raise ValueError(f"factor must divide pictures [B, H, W, C], got {f} and {list(x.shape)}")
        b, h, w, c = x.shape
        return x.reshape(b, h // f, f, w // f, f, c).mean((2, 4))

    adjoint = lambda y: jnp.repeat(jnp.repeat(y, f, 1), f, 2) / f**2
    return Operator(apply, adjoint, lambda y, a, b: _over(y, expand(a, y) / f**2 + expand(b, y)))


@checked
def blur(kernel: ArrayLike | Sequence[Sequence[float]]) -> Operator:
    """Convolve pictures `[B, H, W, C]` with a kernel, channel by channel, around the edges.

    Args:
      kernel: `[h, w]` numbers, centred at [h // 2, w // 2].

    Raises:
      ValueError: for another kernel, or (when applied) a picture smaller than it.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> spread = guidance.operators.blur([[0.5, 0.5]]).apply(jnp.array([4.0, 0.0, 0.0]).reshape(1, 1, 3, 1))
      >>> spread.ravel().round(3).tolist()
      [2.0, 0.0, 2.0]
    """
    kernel = checks.numbers("kernel", kernel)
    if kernel.ndim != 2 or not kernel.size:
        raise ValueError(f"kernel must be [h, w], got shape {list(kernel.shape)}")

    def spectrum(x):
        if x.ndim != 4 or x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]:
            raise ValueError(f"kernel {list(kernel.shape)} must fit into [B, H, W, C], got {list(x.shape)}")
        padded = np.zeros(x.shape[1:3])
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        centred = np.roll(padded, [-(n // 2) for n in kernel.shape], (0, 1))
        return np.fft.fft2(centred)[None, :, :, None]

    def times(x, factor):
        return jnp.fft.ifft2(jnp.fft.fft2(x, axes=(1, 2)) * factor, axes=(1, 2)).real.astype(x.dtype)

    def solve(y, a, b):
        return times(y, _over(1.0, expand(a, y) * np.abs(spectrum(y)) ** 2 + expand(b, y)))

    return Operator(lambda x: times(x, spectrum(x)), lambda y: times(y, spectrum(y).conj()), solve)


@checked
def matrix(a: ArrayLike | Sequence[Sequence[float]]) -> Operator:
    """Multiply points `[B, D]` by a matrix `[M, D]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> guidance.operators.matrix([[1.0, 2.0]]).apply(jnp.ones((1, 2))).tolist()
      [[3.0]]
    """
    a = checks.numbers("a", a)
    if a.ndim != 2 or not a.size:
        raise ValueError(f"a must be a matrix [M, D], got shape {list(a.shape)}")
    values, axes = np.linalg.eigh(a @ a.T)
    values = np.where(values > 1e-12 * values.max(), values, 0)

    def solve(y, share, noise):
        return _over(y @ axes, expand(share, y) * values + expand(noise, y)) @ axes.T

    return Operator(lambda x: x @ a.T, lambda y: y @ a, solve)


def _over(y, scale):
    """Return y / scale, and 0 where the scale is 0: the least solution."""
    return jnp.where(scale == 0, 0, y / jnp.where(scale == 0, 1, scale))


def known_of(name: str, mask: Any, shape: tuple[int, ...] | None = None, like: str = "x") -> Array:
    """Return a mask as booleans that broadcast against `[B, ...]`.

    Raises:
      ValueError: for other numbers than 0 and 1, a sample without a known pixel, a shape that does not fit.
    """
    if not strength.is_traced(mask):
        values = np.asarray(mask)
        other = values[~np.isin(values, (0, 1))]
        if other.size:
            raise ValueError(f"{name} must hold 0 and 1 alone, got {other[0]}")
        each = values if shape is not None and values.ndim == len(shape) else values[None]
        if not each.reshape(len(each), -1).any(1).all():
            raise ValueError(f"{name} must have a known pixel in every sample, got none")
    if shape is None:
        return mask
    given = list(jnp.shape(mask))
    if given[-1:] == [1]:
        given[-1] = shape[-1]
    if given not in (list(shape), list(shape[1:])):
        told, shown = f"{like} {list(shape)} or one sample of it", list(jnp.shape(mask))
        raise ValueError(f"{name} must be shaped like {told}, got {shown}")
    return jnp.asarray(mask, bool)
