"""Classifier guidance as a shift of eps."""

import jax
import jax.numpy as jnp

from diffjax.process.level import expand
from diffjax.process.prediction import Prediction


def classifier(gradient, scale=1.0):
    """Shift eps by -scale sigma grad log p(y | x_t) (Dhariwal & Nichol 2021, Alg. 2), and x_0 to match.

    For ancestral sampling's shift of the mean (Alg. 1) give the gradient to `samplers.ancestral`.

    Args:
      gradient: (x_t, level, cond) -> `[B, ...]`, see `gradient_of`.
      scale: s.
    """

    def transform(denoise):
        def guided(x_t, level, cond=None):
            raw = denoise(x_t, level, cond)
            shift = scale * expand(level.sigma, x_t) * gradient(x_t, level, cond)
            alpha, sigma = expand(level.alpha, x_t), expand(level.sigma, x_t)
            # at alpha = 0 x_t says nothing of the class, and the shift is none
            x0 = raw.x0 + jnp.where(alpha == 0, 0, sigma / jnp.where(alpha == 0, 1, alpha)) * shift
            return Prediction(x0, raw.eps - shift, raw.variance)

        return guided

    return transform


def gradient_of(log_prob):
    """Return (x_t, level, cond) -> grad log p of a function log_prob(x_t, level, cond) -> `[B]`."""
    return jax.grad(lambda x_t, level, cond: log_prob(x_t, level, cond).sum())
