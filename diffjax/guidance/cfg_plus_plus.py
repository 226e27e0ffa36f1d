"""CFG++: guidance of x_0 alone."""

from typing import Any

from diffjax.border import checked
from diffjax.guidance import strength
from diffjax.guidance.chain import Transformation
from diffjax.guidance.classifier_free import of_null
from diffjax.guidance.extrapolation import Extrapolation
from diffjax.guidance.strength import Strength
from diffjax.process.prediction import Prediction


@checked
def cfg_plus_plus(scale: Strength, *, null: Any) -> Transformation:
    """Guide x_0 and noise it again by the unconditional eps (CFG++, Chung et al. 2024).

    x_0 = D(null) + scale (D(cond) - D(null)) with scale in [0, 1] as the paper takes it, eps = eps(null). So
    alpha x_0 + sigma eps is not x_t: take a solver that steps by both, `ddim()`. One that reads x_0 alone
    (`dpm_solver_pp`) or eps alone (`edm_heun`) sees ordinary or no guidance.

    Two predictions in one network call; at a number scale = 0 one.

    Args:
      scale: lambda, a number, `[B]`, or a function of the noise level.
      null: see `classifier_free`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[-1.0], [1.0]], [0.0, 0.0])
      >>> guided = guidance.cfg_plus_plus(0.5, null=-1)(two.denoiser())
      >>> x0, eps, _ = guided(jnp.zeros((1, 1)), schedules.edm()(1.0), jnp.array([1]))
      >>> x0.tolist(), abs(eps).tolist()
      ([[0.5]], [[0.0]])
    """
    strength.check("scale", scale)

    def mix(away, towards, s, x_t, level):
        del x_t, level
        return Prediction(away.x0 + s * (towards.x0 - away.x0), away.eps)

    return Extrapolation(of_null(null), "scale", scale, mix=mix, towards_at_one=False)
