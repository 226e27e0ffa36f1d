"""Classifier guidance as a shift of eps."""

import jax

from diffjax.process import prediction
from diffjax.process.level import expand


def classifier(gradient, scale=1.0):
    """Shift eps by -scale sigma grad log p(y | x_t) (Dhariwal & Nichol 2021, Alg. 2), on any schedule.

    For ancestral sampling's shift of the mean (Alg. 1) give the gradient to `samplers.ancestral`.

    Args:
      gradient: (x_t, level, cond) -> `[B, ...]`, see `gradient_of`.
      scale: s.
    """

    def transform(denoise):
        def guided(x_t, level, cond=None):
            raw = denoise(x_t, level, cond)
            eps = raw.eps - scale * expand(level.sigma, x_t) * gradient(x_t, level, cond)
            return prediction.from_eps(eps, x_t, level, raw.variance)

        return guided

    return transform


def gradient_of(log_prob):
    """Return (x_t, level, cond) -> grad log p of a function log_prob(x_t, level, cond) -> `[B]`."""
    return jax.grad(lambda x_t, level, cond: log_prob(x_t, level, cond).sum())
