"""Autoguidance: a network guided by a weaker version of itself."""

import jax

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.guidance.classifier_free import one_of
from diffjax.guidance.extrapolation import Extrapolation, Sources
from diffjax.guidance.strength import Strength
from diffjax.process.prediction import Denoiser, returning_prediction


@checked
def autoguidance(
    weak: Denoiser, scale: Strength | None = None, *, weight: Strength | None = None
) -> Transformation:
    """Extrapolate from a weaker model's prediction through the model's own (Karras et al. 2024).

    D = D_weak + scale (D - D_weak), both under the same condition, which may be none. The weak model is one
    of less capacity or training: their common errors are in both, and what the better one mends is carried
    on. Two network calls, of two networks; one where s = 1, and one where a number s = 0. The variance is
    the model's own.

    Args:
      weak: Denoiser.
      scale, weight: give exactly one, see `classifier_free`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> good, weak = (exact.gaussian_mixture([1.0], [[m]], [0.0]).denoiser() for m in (2.0, 1.0))
      >>> guidance.autoguidance(weak, 1.5)(good)(jnp.zeros((1, 1)), schedules.edm()(1.0)).x0.tolist()
      [[2.5]]
    """
    name, given, offset = one_of(scale, weight)
    weak = jax.jit(returning_prediction(weak))  # traced once, however often a walk's calls are counted

    def sources(denoise: Denoiser) -> Sources:
        both = lambda x_t, level, cond: (weak(x_t, level, cond), denoise(x_t, level, cond))
        away = lambda x_t, level, cond=None: weak(x_t, level, cond)
        return Sources(lambda cond, batch: None, away, denoise, both)

    return Extrapolation(sources, name, given, offset)
