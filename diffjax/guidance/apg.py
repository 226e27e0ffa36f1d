"""Adaptive projected guidance."""

from typing import Any

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.guidance.classifier_free import of_null, one_of
from diffjax.guidance.extrapolation import Extrapolation
from diffjax.guidance.strength import Strength
from diffjax.process import prediction
from diffjax.types import Array, Extended


@checked
def apg(
    scale: Strength | None = None,
    *,
    weight: Strength | None = None,
    null: Any,
    parallel: float = 0.0,
    threshold: Extended = jnp.inf,
) -> Transformation:
    """Guide by what is orthogonal to the conditional x_0 (Sadat et al. 2024), which saturates less.

    With d = D(cond) - D(null) for x_0, shortened to norm r where it is longer, and d_par its part along
    D(cond):  x_0 = D(cond) + (s - 1) (d - d_par + parallel d_par); eps follows. parallel = 1 without a
    threshold is `classifier_free`. Calls are as there.

    The paper's momentum, a running sum of d over the steps, is not here: a denoiser remembers nothing
    between steps, which is why any solver may call it.

    Args:
      scale, weight, null: see `classifier_free`.
      parallel: the paper's eta; 0 leaves the parallel part out.
      threshold: r, positive; the paper takes 2.5 to 15 for latents.

    Raises:
      ValueError: as `classifier_free`, and for a threshold that is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[2.0, 0.0], [2.0, 4.0]], [0.0, 0.0])
      >>> guided = guidance.apg(2.0, null=jnp.array([0]), parallel=1.0, threshold=1.0)(two.denoiser())
      >>> guided(jnp.zeros((1, 2)), schedules.edm()(1.0), jnp.array([1])).x0.tolist()  # 1 further, not 4
      [[2.0, 5.0]]
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    name, given, offset = one_of(scale, weight)

    def mix(away, towards, s, x_t, level):
        d = towards.x0 - away.x0
        d = d * jnp.minimum(1, threshold / jnp.maximum(_norm(d), jnp.finfo(d.dtype).tiny))
        unit = towards.x0 / jnp.maximum(_norm(towards.x0), jnp.finfo(d.dtype).tiny)
        along = (d * unit).sum(tuple(range(1, d.ndim)), keepdims=True) * unit
        return prediction.from_x0(towards.x0 + (s - 1) * (d - along + parallel * along), x_t, level)

    return Extrapolation(of_null(null), name, given, offset, mix, away_at_zero=False)


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x**2, tuple(range(1, x.ndim)), keepdims=True))
