"""Classifier-free guidance."""

from collections.abc import Callable
from typing import Any

from diffjax.border import checked
from diffjax.guidance import conditions, strength
from diffjax.guidance.chain import Transformation
from diffjax.guidance.extrapolation import Extrapolation, Sources
from diffjax.guidance.strength import Strength
from diffjax.process.prediction import Denoiser


@checked
def classifier_free(
    scale: Strength | None = None, *, weight: Strength | None = None, null: Any
) -> Transformation:
    """Extrapolate from the unconditional prediction through the conditional one.

    D = D(null) + scale (D(cond) - D(null)), for x_0 and eps alike. `scale` s is that of Imagen and latent
    diffusion, `weight` w that of Ho & Salimans 2022, with s = 1 + w: s = 1 is the conditional model
    and s = 0 the unconditional one. The variance is the conditional model's, and never mixed. What it samples
    is not p(x) p(cond | x)^s (Bradley & Nakkiran 2024); only the score at each level is so composed.

    Both predictions are one batched network call. Where s = 1, and where a number s = 0, there is one alone.

    Args:
      scale, weight: give exactly one; a number, `[B]`, or a function of the noise level that gives either,
        such as `lambda level: 3.0 * (level.log_snr < 0)`.
      null: the condition that means "none": the pytree of `cond`, leaves broadcast against it.

    Raises:
      ValueError: unless exactly one of scale and weight is given, or (when called) if `cond` is None, of
        another structure than `null`, or not of x_t's samples.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[-1.0], [1.0]], [1e-6, 1e-6])
      >>> guided = guidance.classifier_free(scale=3.0, null=-1)(two.denoiser())
      >>> x0 = guided(jnp.zeros((1, 1)), schedules.edm()(1.0), jnp.array([1])).x0
      >>> round(float(x0[0, 0]), 4)  # 0 + 3 (1 - 0)
      3.0
    """
    name, given, offset = one_of(scale, weight)
    return Extrapolation(of_null(null), name, given, offset)


def one_of(scale: Strength | None, weight: Strength | None) -> tuple[str, Any, float]:
    """Return (name, strength, offset) of scale s or weight w = s - 1; ValueError unless one is given."""
    if (scale is None) == (weight is None):
        raise ValueError(
            f"give exactly one of scale (s) and weight (w = s - 1), got scale={scale}, weight={weight}"
        )
    name, given, offset = ("scale", scale, 0.0) if weight is None else ("weight", weight, 1.0)
    strength.check(name, given)
    return name, given, offset


def of_null(null: Any) -> Callable[[Denoiser], Sources]:
    """Return what makes of a denoiser its predictions under the null and under the condition."""

    def sources(denoise: Denoiser) -> Sources:
        away = lambda x_t, level, cond=None: denoise(x_t, level, conditions.like(null, cond))

        def both(x_t, level, cond):
            away, towards = conditions.each(denoise, x_t, level, [conditions.like(null, cond), cond])
            return away, towards

        return Sources(lambda cond, batch: conditions.check(null, cond, batch), away, denoise, both)

    return sources
