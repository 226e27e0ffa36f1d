"""Densities of discrete data: from integer codes to real numbers, and from nats to bits per dimension.

Codes k = 0..levels-1 become x = low + (high - low) (k + u) / levels with u in [0, 1)^D. For any law q(u | k),

    log P(k) >= E_q[log p(x) - log q(u | k)] + D log((high - low) / levels)

(Theis et al. 2016; Ho et al. 2019, Flow++), with q = 1 for uniform noise. On [-1, 1] and 256 levels the last
term is -7 bits a dimension, so that bits gain 7. A network trained on `x / 127.5 - 1` sees bins centred on
its values with low = -1 - 1/255, high = 1 + 1/255.
"""

import math

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks, gaussian
from diffjax.process.level import sum_of_each
from diffjax.types import Array, ArrayLike, Float, Integer, Key


@checked
def uniform(
    key: Key[Array, ""],
    codes: Integer[Array, "batch *shape"],
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> Float[Array, "batch *shape"]:
    """Return x with uniform u.

    Args:
      key: one key.
      codes: `[B, ...]` integers 0..levels-1.
      levels: number of codes, L.
      low, high: ends of the interval that the bins divide.

    Returns:
      x `[B, ...]` in [low, high), in JAX's default dtype.

    Raises:
      ValueError: for codes that are not integers, or bins that are not.
    """
    codes = _checked(codes, levels, low, high)
    return _place(codes, jax.random.uniform(key, codes.shape, _dtype()), levels, low, high)


@checked
def logit_normal(
    key: Key[Array, ""],
    codes: Integer[Array, "batch *shape"],
    mean: ArrayLike,
    log_scale: ArrayLike,
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> tuple[Float[Array, "batch *shape"], Float[Array, " batch"]]:
    """Return x and log q(u | k) with u = sigmoid(mean + exp(log_scale) z): variational dequantisation.

    Args:
      key: one key.
      codes: `[B, ...]` integers 0..levels-1.
      mean, log_scale: scalars or `[B, ...]`, or what broadcasts to it: a network's output for these codes;
        differentiable. 0 and about 0.5 are near uniform.
      levels, low, high: see `uniform`.

    Returns:
      x `[B, ...]`, log q `[B]` in nats.

    Raises:
      ValueError: for codes that are not integers, or bins that are not.
    """
    codes = _checked(codes, levels, low, high)
    z = jax.random.normal(key, codes.shape, _dtype())
    u, log_q = _squashed(z, gaussian.log_prob(gaussian.STANDARD, z), mean, log_scale)
    return _place(codes, u, levels, low, high), sum_of_each(log_q)


@checked
def logit_logistic(
    key: Key[Array, ""],
    codes: Integer[Array, "batch *shape"],
    mean: ArrayLike,
    log_scale: ArrayLike,
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> tuple[Float[Array, "batch *shape"], Float[Array, " batch"]]:
    """Return x and log q(u | k) with u = sigmoid(mean + exp(log_scale) z), z of the standard logistic law.

    Args and returns are those of `logit_normal`; mean = log_scale = 0 is exactly uniform.
    """
    codes = _checked(codes, levels, low, high)
    z = jax.random.logistic(key, codes.shape, _dtype())
    u, log_q = _squashed(z, jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z), mean, log_scale)
    return _place(codes, u, levels, low, high), sum_of_each(log_q)


@checked
def bits_per_dim(
    log_p: float | Float[Array, " batch"],
    dims: int,
    log_q: float | Float[Array, " batch"] = 0.0,
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> ArrayLike:
    """Return the bound on -log2 P(codes) a dimension, `[B]`.

    Args:
      log_p: `[B]` nats of dequantised data, e.g. of `log_likelihood`.
      dims: D, numbers in one example.
      log_q: `[B]` nats of the dequantisation noise; 0 where it is uniform.
      levels, low, high: see `uniform`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import dequantisation
      >>> dequantisation.bits_per_dim(jnp.zeros(1), dims=3).tolist()  # a density of 1 on [-1, 1]
      [7.0]
    """
    checks.count("dims", dims)
    _bins(levels, low, high)
    return (log_q - log_p) / (dims * math.log(2)) - math.log2((high - low) / levels)


def _squashed(z, log_p, mean, log_scale):
    """Return u = sigmoid(mean + exp(log_scale) z) and its log density, for z of log density log_p."""
    for name, value in (("mean", mean), ("log_scale", log_scale)):
        checks.broadcasts(name, value, z, "the codes")
        checks.finite(name, value)
    logit = mean + jnp.exp(log_scale) * z
    log_slope = log_scale + jax.nn.log_sigmoid(logit) + jax.nn.log_sigmoid(-logit)  # du/dz
    return jax.nn.sigmoid(logit), log_p - log_slope


def _place(codes, u, levels, low, high):
    return low + (high - low) / levels * (codes + u)


def _checked(codes, levels, low, high):
    _bins(levels, low, high)
    checks.within("codes", codes, 0, levels - 1)
    return jnp.asarray(codes)


def _bins(levels, low, high):
    """Raise ValueError unless there are bins and an interval that they divide."""
    checks.count("levels", levels)
    checks.interval("(low, high)", (low, high))


def _dtype():
    return jnp.result_type(float)
