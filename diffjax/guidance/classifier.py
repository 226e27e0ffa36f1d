"""Classifier guidance as a shift of eps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, expand
from diffjax.process.prediction import Denoiser, Prediction, returning_prediction
from diffjax.types import Array, Float

OfLevel = Callable[[Array, NoiseLevel, Any], Array]  # (x_t `[B, ...]`, level, cond) -> `[B, ...]` or `[B]`


@checked
def classifier(
    gradient: OfLevel, scale: float | Float[Array, ""] | Float[Array, " batch"] = 1.0
) -> Transformation:
    """Shift eps by -scale sigma grad log p(y | x_t) (Dhariwal & Nichol 2021, Alg. 2), and x_0 to match.

    For ancestral sampling's shift of the mean (Alg. 1) give the gradient to `samplers.ancestral`.

    Args:
      gradient: (x_t, level, cond) -> `[B, ...]`, see `gradient_of`.
      scale: s, a number, or `[B]`.

    Raises:
      ValueError: when called, if the gradient is not shaped like x_t.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> upwards = guidance.classifier(lambda x_t, level, cond: jnp.ones_like(x_t), scale=2.0)
      >>> point = exact.gaussian_mixture([1.0], [[0.0]], [1.0])
      >>> upwards(point.denoiser())(jnp.zeros((1, 1)), schedules.edm()(0.5)).eps.tolist()
      [[-1.0]]
    """
    checks.finite("scale", scale)

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def guided(x_t, level, cond=None):
            s = expand(checks.one_each("scale", scale, len(x_t)), x_t)
            raw = denoise(x_t, level, cond)
            slope = checks.same_shape("gradient(x_t, level, cond)", gradient(x_t, level, cond), x_t, "x_t")
            shift = s * expand(level.sigma, x_t) * slope
            alpha, sigma = expand(level.alpha, x_t), expand(level.sigma, x_t)
            # at alpha = 0 x_t says nothing of the class, and the shift is none
            x0 = raw.x0 + jnp.where(alpha == 0, 0, sigma / jnp.where(alpha == 0, 1, alpha)) * shift
            return Prediction(x0, raw.eps - shift, raw.variance)

        return guided

    return transform


@checked
def gradient_of(log_prob: OfLevel) -> OfLevel:
    """Return (x_t, level, cond) -> grad log p of a function log_prob(x_t, level, cond) -> `[B]`.

    Raises:
      ValueError: when called, if log_prob does not give one number for each sample.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> slope = guidance.gradient_of(lambda x_t, level, cond: -0.5 * (x_t**2).sum(1))
      >>> slope(jnp.ones((1, 2)), schedules.edm()(0.5), None).tolist()
      [[-1.0, -1.0]]
    """

    def total(x_t, level, cond):
        found = log_prob(x_t, level, cond)
        if jnp.shape(found) != jnp.shape(x_t)[:1]:
            told, given = f"one number for each of {len(x_t)} samples", list(jnp.shape(found))
            raise ValueError(f"log_prob must give {told}, got shape {given}")
        return found.sum()

    return jax.grad(total)
