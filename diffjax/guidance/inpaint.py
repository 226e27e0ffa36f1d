"""Filling in what is not known, by replacement."""

import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.guidance import operators, strength
from diffjax.guidance.chain import Transformation
from diffjax.guidance.noise import noised_afresh
from diffjax.process import checks, prediction
from diffjax.process.prediction import Denoiser, returning_prediction
from diffjax.types import Array, Float, Key, Shaped


@checked
def inpaint(
    known: Float[Array, "batch *shape"],
    mask: Shaped[Array, "..."],
    *,
    key: Key[Array, "..."] | None = None,
) -> Transformation:
    """Put what is known in the place of the predicted x_0: replacement (imputation of Song et al. 2021).

    x_0 <- mask known + (1 - mask) x_0, and eps to match; one network call. So a walk carries the known part
    along the forward process's own path to `known`, with the noise that x_t has there. With a key the network
    sees that part noised afresh at every level instead (Lugmayr et al. 2022, Alg. 1): for solvers whose noise
    is not the posterior's (`ancestral("fixed_large")`, `euler_maruyama`).

    Not p(x_0 | known): at each step the rest is made of the noised known part, not of the known part. What is
    made up depends too little on what is known; resampling (`samplers.repaint`) mends that by more calls.

    Args:
      known: `[B, ...]` data; what it holds outside the mask is not read.
      mask: 1 or True where `known` is known; shaped like `known`, or like one sample, with 1 channel or all.
      key: one key or `[B]` keys for fresh noise, or None.

    Raises:
      ValueError: for a mask of another shape, of other numbers than 0 and 1, or without a known pixel.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> point = exact.gaussian_mixture([1.0], [[1.0, 1.0]], [0.0])
      >>> half = guidance.inpaint(jnp.array([[5.0, 0.0]]), jnp.array([1, 0]))(point.denoiser())
      >>> half(jnp.zeros((1, 2)), schedules.edm()(1.0)).x0.tolist()
      [[5.0, 1.0]]
    """
    inside = operators.known_of("mask", mask, known.shape, "known")
    if not strength.is_traced(known) and not strength.is_traced(inside):
        checks.finite("known", np.where(inside, known, 0))

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def filled(x_t, level, cond=None):
            checks.same_shape("known", known, x_t, "x_t")
            target = jnp.asarray(known, x_t.dtype)
            seen = x_t if key is None else jnp.where(inside, noised_afresh(key, target, level), x_t)
            raw = denoise(seen, level, cond)
            return prediction.from_x0(jnp.where(inside, target, raw.x0), x_t, level, raw.variance)

        return filled

    return transform
