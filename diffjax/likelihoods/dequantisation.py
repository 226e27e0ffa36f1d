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


def uniform(key, codes, levels=256, low=-1.0, high=1.0):
    """Return x with uniform u.

    Args:
      key: one key.
      codes: `[B, ...]` integers 0..levels-1.
      levels: number of codes, L.
      low, high: ends of the interval that the bins divide.

    Returns:
      x `[B, ...]` in [low, high), in JAX's default dtype.

    Raises:
      ValueError: if the codes are not integers.
    """
    codes = _integers(codes)
    return _place(codes, jax.random.uniform(key, codes.shape, _dtype()), levels, low, high)


def logit_normal(key, codes, mean, log_scale, levels=256, low=-1.0, high=1.0):
    """Return x and log q(u | k) with u = sigmoid(mean + exp(log_scale) z): variational dequantisation.

    Args:
      key: one key.
      codes: `[B, ...]` integers 0..levels-1.
      mean, log_scale: scalars or `[B, ...]`, a network's output for these codes; differentiable. 0 and about
        0.5 are near uniform.
      levels, low, high: see `uniform`.

    Returns:
      x `[B, ...]`, log q `[B]` in nats.

    Raises:
      ValueError: if the codes are not integers.
    """
    codes = _integers(codes)
    z = jax.random.normal(key, codes.shape, _dtype())
    u, log_q = _squashed(z, -0.5 * (z**2 + math.log(2 * math.pi)), mean, log_scale)
    return _place(codes, u, levels, low, high), log_q.reshape(len(codes), -1).sum(1)


def logit_logistic(key, codes, mean, log_scale, levels=256, low=-1.0, high=1.0):
    """Return x and log q(u | k) with u = sigmoid(mean + exp(log_scale) z), z of the standard logistic law.

    Args and returns are those of `logit_normal`; mean = log_scale = 0 is exactly uniform.
    """
    codes = _integers(codes)
    z = jax.random.logistic(key, codes.shape, _dtype())
    u, log_q = _squashed(z, jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z), mean, log_scale)
    return _place(codes, u, levels, low, high), log_q.reshape(len(codes), -1).sum(1)


def bits_per_dim(log_p, dims, log_q=0.0, levels=256, low=-1.0, high=1.0):
    """Return the bound on -log2 P(codes) a dimension, `[B]`.

    Args:
      log_p: `[B]` nats of dequantised data, e.g. of `log_likelihood`.
      dims: D, numbers in one example.
      log_q: `[B]` nats of the dequantisation noise; 0 where it is uniform.
      levels, low, high: see `uniform`.
    """
    return (log_q - log_p) / (dims * math.log(2)) - math.log2((high - low) / levels)


def _squashed(z, log_p, mean, log_scale):
    """Return u = sigmoid(mean + exp(log_scale) z) and its log density, for z of log density log_p."""
    logit = mean + jnp.exp(log_scale) * z
    log_slope = log_scale + jax.nn.log_sigmoid(logit) + jax.nn.log_sigmoid(-logit)  # du/dz
    return jax.nn.sigmoid(logit), log_p - log_slope


def _place(codes, u, levels, low, high):
    return low + (high - low) / levels * (codes + u)


def _integers(codes):
    codes = jnp.asarray(codes)
    if not jnp.issubdtype(codes.dtype, jnp.integer):
        raise ValueError(f"codes must be integers, 0..levels-1; got dtype {codes.dtype}")
    return codes


def _dtype():
    return jnp.result_type(float)
