"""Classifier-free guidance."""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.process import checks
from diffjax.process.level import expand
from diffjax.process.prediction import Denoiser, Prediction, returning_prediction
from diffjax.types import Array, Float


@checked
def classifier_free(
    scale: float | Float[Array, ""] | Float[Array, " batch"] | None = None,
    *,
    weight: float | Float[Array, ""] | Float[Array, " batch"] | None = None,
    null: Any,
) -> Transformation:
    """Extrapolate from the unconditional prediction through the conditional one.

    D = D(null) + scale (D(cond) - D(null)), for x_0 and eps alike. `scale` s is that of Imagen and latent
    diffusion, `weight` w that of Ho & Salimans 2022, eq. 6, with s = 1 + w: s = 1 is the conditional model
    and s = 0 the unconditional one. The variance is the conditional model's. What it samples is not
    p(x) p(cond | x)^s (Bradley & Nakkiran 2024); only the score at each level is so composed.

    Args:
      scale, weight: give exactly one; a number, or `[B]`.
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
    if (scale is None) == (weight is None):
        raise ValueError(
            f"give exactly one of scale (s) and weight (w = s - 1), got scale={scale}, weight={weight}"
        )
    name, s_of_all = ("scale", scale) if weight is None else ("weight", 1 + weight)
    checks.finite(name, s_of_all)

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def guided(x_t, level, cond=None):
            s = expand(checks.one_each(name, s_of_all, len(x_t)), x_t)
            both = _both(null, cond, len(x_t))
            # A new axis and vmap: the batch axis, and so its sharding, stays as it is.
            pair = jax.vmap(denoise, (None, None, 0))(x_t, level, both)
            x0, eps = (out[0] + s * (out[1] - out[0]) for out in (pair.x0, pair.eps))
            return Prediction(x0, eps, None if pair.variance is None else pair.variance[1])

        return guided

    return transform


def _both(null, cond, batch):
    """Return the null and the condition, stacked on a new axis."""
    given, wanted = jax.tree.structure(cond), jax.tree.structure(null)
    if given != wanted or not jax.tree.leaves(cond):
        raise ValueError(f"cond must hold arrays in the structure of null, {wanted}; got {given}")

    def stack(null, cond):
        cond, null = jnp.asarray(cond), jnp.asarray(null)
        if cond.ndim and cond.shape[0] != batch:
            raise ValueError(f"cond must hold [B, ...] for {batch} samples, got shape {list(cond.shape)}")
        if jnp.issubdtype(null.dtype, jnp.inexact) and not jnp.issubdtype(cond.dtype, jnp.inexact):
            raise ValueError(f"null must be of the kind of cond, {cond.dtype}; got {null.dtype}")
        return jnp.stack([jnp.broadcast_to(null.astype(cond.dtype), cond.shape), cond])

    return jax.tree.map(stack, null, cond)
