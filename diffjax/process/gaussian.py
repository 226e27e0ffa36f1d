"""Diagonal Gaussians: marginals, posteriors and model transitions all are one.

Everything here is elementwise; callers sum or average over the axes they mean.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy import special

from diffjax.border import checked
from diffjax.process import bins, checks, logistic
from diffjax.process.level import expand
from diffjax.types import Array, ArrayLike, Float, Key, Num


class Gaussian(NamedTuple):
    """N(mean, exp(log_variance)).

    Attributes:
      mean: `[B, ...]`.
      log_variance: broadcasts against the mean; -inf is a point mass.
    """

    mean: ArrayLike
    log_variance: ArrayLike


@checked
def sample(key: Key[Array, ""], g: Gaussian) -> Float[Array, "*shape"]:
    """Draw one sample of the shape of the mean."""
    mean = jnp.asarray(g.mean)
    return mean + jnp.exp(0.5 * expand(g.log_variance, mean)) * jax.random.normal(key, mean.shape, mean.dtype)


@checked
def log_prob(g: Gaussian, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the log density of each element of `x`, in nats."""
    log_variance = expand(g.log_variance, x)
    return -0.5 * (jnp.log(2 * jnp.pi) + log_variance + (x - g.mean) ** 2 * jnp.exp(-log_variance))


STANDARD = Gaussian(0.0, 0.0)


@checked
def kl(p: Gaussian, q: Gaussian) -> Float[Array, "*shape"]:
    """Return KL(p || q) of each element, in nats."""
    mean = jnp.asarray(checks.same_shape("the mean of p", p.mean, q.mean, "that of q"))
    log_p, log_q = expand(p.log_variance, mean), expand(q.log_variance, mean)
    # expm1 keeps the digits where the two variances are nearly equal, as along the whole bound
    delta = log_p - log_q
    return 0.5 * (jnp.expm1(delta) - delta + (mean - q.mean) ** 2 * jnp.exp(-log_q))


class _Cdf(NamedTuple):
    """Logarithms of a normal CDF, of its complement, and of its mass between two points z0 < z1."""

    below: Callable
    above: Callable
    between: Callable


_TANH_SLOPE, _TANH_CUBIC = math.sqrt(8 / math.pi), 0.044715


def _tanh_logit(z):
    """The approximation that the DDPM code bases share (Page 1977), Phi(z) = sigmoid(logit(z))."""
    return _TANH_SLOPE * (z + _TANH_CUBIC * z**3)


def _tanh_between(z0, z1):
    gap = _TANH_SLOPE * (z1 - z0) * (1 + _TANH_CUBIC * (z0**2 + z0 * z1 + z1**2))
    return logistic.log_mass(_tanh_logit(z0), _tanh_logit(z1), gap)


def _exact_between(z0, z1):
    # by symmetry, on the side where the CDF is small and keeps its digits
    right = z0 + z1 > 0
    z0, z1 = jnp.where(right, -z1, z0), jnp.where(right, -z0, z1)
    mass = special.ndtr(z1) - special.ndtr(z0)
    return jnp.log(jnp.maximum(mass, 1e-30))  # far below the clamp; keeps the gradient finite


_CDFS = {
    "tanh": _Cdf(
        lambda z: jax.nn.log_sigmoid(_tanh_logit(z)),
        lambda z: jax.nn.log_sigmoid(-_tanh_logit(z)),
        _tanh_between,
    ),
    "exact": _Cdf(special.log_ndtr, lambda z: special.log_ndtr(-z), _exact_between),
}


@checked
def discretized_log_prob(
    g: Gaussian, x: Float[Array, "*shape"], cdf: Literal["tanh", "exact"] = "tanh"
) -> Float[Array, "*shape"]:
    """Return the log probability of each 8-bit value under a Gaussian integrated over its bin.

    The decoder of Ho et al. 2020, eq. 13: 256 bins of width 2/255 centred on the values of [-1, 1],
    the first and the last open-ended; probabilities are clamped at 1e-12.

    Args:
      g: Gaussian over `[B, ...]`.
      x: `[B, ...]`, 8-bit images scaled to [-1, 1].
      cdf: "tanh", the references' approximation, or "exact".

    Returns:
      Nats, elementwise.

    Raises:
      ValueError: outside `jit`, for values outside [-1, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import gaussian
      >>> narrow = gaussian.Gaussian(jnp.zeros(1), -20.0)  # all mass is in the bin around 0
      >>> round(float(gaussian.discretized_log_prob(narrow, jnp.zeros(1))[0]), 3)
      0.0
    """
    checks.pixels("x", x)
    normal = _CDFS[cdf]
    x = jnp.asarray(x)
    inverse_std = jnp.exp(-0.5 * expand(g.log_variance, x))
    z0, z1 = (inverse_std * (x - g.mean + edge) for edge in (-bins.HALF, bins.HALF))
    return bins.log_mass(x, normal.below(z1), normal.above(z0), normal.between(z0, z1))


@checked
def categorical_log_prob(
    g: Gaussian, x: Float[Array, "*shape"], values: Num[Array, " values"]
) -> Float[Array, "*shape"]:
    """Return the log probability of each element of `x` among `values`, proportional to their densities.

    Args:
      g: Gaussian.
      x: `[B, ...]`, each the nearest of `values`.
      values: `[K]`, every value there is.
    """
    x = jnp.asarray(x)
    values = jnp.sort(jnp.asarray(values, x.dtype))
    mean, scale = (jnp.asarray(a)[..., None] for a in (g.mean, jnp.exp(-0.5 * expand(g.log_variance, x))))
    log_density = lambda value: -0.5 * ((mean - value) * scale) ** 2
    # a search and a gather of x's shape: an argmin and a gather over [..., K] cost ten times as much on a CPU
    chosen = values[jnp.searchsorted((values[1:] + values[:-1]) / 2, x)]
    return log_density(chosen[..., None])[..., 0] - jax.nn.logsumexp(log_density(values), axis=-1)
