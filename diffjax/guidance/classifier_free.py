"""Classifier-free guidance."""

import jax
import jax.numpy as jnp

from diffjax.process.level import expand
from diffjax.process.prediction import Prediction


def classifier_free(scale=None, *, weight=None, null):
    """Extrapolate from the unconditional prediction through the conditional one.

    D = D(null) + scale (D(cond) - D(null)), for x_0 and eps alike. `scale` s is that of Imagen and latent
    diffusion, `weight` w that of Ho & Salimans 2022, eq. 6, with s = 1 + w: s = 1 is the conditional model
    and s = 0 the unconditional one. The variance is the conditional model's. What it samples is not
    p(x) p(cond | x)^s (Bradley & Nakkiran 2024); only the score at each level is so composed.

    Args:
      scale, weight: give exactly one; a number, or `[B]`.
      null: the condition that means "none": the pytree of `cond`, leaves broadcast against it.

    Raises:
      ValueError: unless exactly one of scale and weight is given, or (when called) if `cond` is None or
        of another structure than `null`.
    """
    if (scale is None) == (weight is None):
        raise ValueError(
            f"give exactly one of scale (s) and weight (w = s - 1), got scale={scale}, weight={weight}"
        )
    scale = 1 + weight if scale is None else scale

    def transform(denoise):
        def guided(x_t, level, cond=None):
            if jax.tree.structure(cond) != jax.tree.structure(null) or not jax.tree.leaves(cond):
                given, wanted = jax.tree.structure(cond), jax.tree.structure(null)
                raise ValueError(f"cond must hold arrays in the structure of null, {wanted}; got {given}")
            both = jax.tree.map(_stack, null, cond)
            # A new axis and vmap: the batch axis, and so its sharding, stays as it is.
            pair = jax.vmap(denoise, (None, None, 0))(x_t, level, both)
            s = expand(scale, x_t)
            x0, eps = (out[0] + s * (out[1] - out[0]) for out in (pair.x0, pair.eps))
            return Prediction(x0, eps, None if pair.variance is None else pair.variance[1])

        return guided

    return transform


def _stack(null, cond):
    cond = jnp.asarray(cond)
    return jnp.stack([jnp.broadcast_to(jnp.asarray(null, cond.dtype), cond.shape), cond])
