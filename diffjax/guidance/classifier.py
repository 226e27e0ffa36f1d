"""Classifier guidance as a shift of eps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.convolutions import in_order
from diffjax.guidance import strength
from diffjax.guidance.chain import Transformation
from diffjax.guidance.strength import Strength
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, expand
from diffjax.process.prediction import Denoiser, Prediction, returning_prediction
from diffjax.types import Array

OfLevel = Callable[[Array, NoiseLevel, Any], Array]  # (x_t `[B, ...]`, level, cond) -> `[B, ...]` or `[B]`


@checked
def classifier(gradient: OfLevel, scale: Strength = 1.0, *, of_x0: bool = False) -> Transformation:
    """Shift eps by -scale sigma grad log p(y | x_t) (Dhariwal & Nichol 2021, Alg. 2), and x_0 to match.

    The denoiser may be conditional or not. For ancestral sampling's shift of the mean (Alg. 1) give the
    gradient to `samplers.ancestral`; the two differ by O(beta) of a step. One network call, and the
    gradient's; the network's alone at a number scale = 0. At alpha = 0, the first step of a flow from pure
    noise, x_t says nothing of x_0 and its gradient is none: the prediction is left as it is.

    Args:
      gradient: (x_t, level, cond) -> `[B, ...]`, see `gradient_of`.
      scale: s, a number, `[B]`, or a function of the noise level.
      of_x0: False asks for the gradient at x_t, of a classifier that knows noise. True asks for it at the
        predicted x_0, of one of clean data, and carries it back to x_t through the network (one backward
        pass): grad log p(y | x_0-hat(x_t)), which is not grad log p(y | x_t) but where log p is linear
        and the data Gaussian.

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
    strength.check("scale", scale)
    gradient = jax.jit(gradient)  # traced once, however often a walk's calls are counted

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def guided(x_t, level, cond=None):
            s = strength.at("scale", scale, level, len(x_t))

            def slope_at(x):
                return checks.same_shape("gradient(x_t, level, cond)", gradient(x, level, cond), x, "x_t")

            def shifted(x_t, level, cond=None):
                if of_x0:
                    raw, slope = _carried_back(denoise, slope_at, x_t, level, cond)
                else:
                    slope = slope_at(x_t)  # first, as it is what may be refused
                    raw = denoise(x_t, level, cond)
                return _shifted(raw, expand(s, x_t) * slope, level)

            decided = callable(scale) or not strength.is_traced(s)
            return strength.choose(decided and strength.everywhere(s, 0), denoise, shifted)(x_t, level, cond)

        return guided

    return transform


def _carried_back(denoise, slope_at, x_t, level, cond):
    """Return the prediction, and the slope at its x_0 times d x_0 / d x_t."""

    def x0_of(x_t):
        raw = denoise(x_t, level, cond)
        return raw.x0, raw

    def both(x_t):
        x0, back, raw = jax.vjp(x0_of, x_t, has_aux=True)
        return raw, back(slope_at(x0))[0]

    return in_order(both)(x_t)


def _shifted(raw, slope, level):
    """Return the prediction of the score plus a slope."""
    alpha, sigma = expand(level.alpha, slope), expand(level.sigma, slope)
    shift = jnp.where(alpha == 0, 0, sigma * slope)  # x_t is eps there, and says nothing of x_0
    x0 = raw.x0 + sigma / jnp.where(alpha == 0, 1, alpha) * shift
    return Prediction(x0, raw.eps - shift, raw.variance)


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

    def slope(x_t, level, cond):
        return in_order(lambda x_t: jax.grad(total)(x_t, level, cond))(x_t)

    return slope
