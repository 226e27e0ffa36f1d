"""Posterior guidance by a noisy linear measurement y = A x_0 + n."""

from typing import Literal

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.guidance.classifier import classifier
from diffjax.guidance.operators import Operator
from diffjax.guidance.strength import Strength
from diffjax.process import checks
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float


@checked
def linear_inverse(
    operator: Operator,
    measurement: Float[Array, "batch *measured"],
    noise_std: float = 0.0,
    *,
    method: Literal["pigdm", "dps"] = "pigdm",
    data_std: float = 1.0,
    scale: Strength = 1.0,
) -> Transformation:
    """Steer towards x_0 with y = A x_0 + n, n ~ N(0, noise_std^2).

    The score is shifted by grad log p(y | x_t), approximated with p(x_0 | x_t) = N(x_0-hat, r^2) by

        J^T A^T (r^2 A A^T + noise_std^2)^-1 (y - A x_0-hat),     J = d x_0-hat / d x_t

    "pigdm": r^2 = s^2 sigma^2 / (alpha^2 s^2 + sigma^2), s = data_std (Song et al. 2023): exact for data
    N(m, s^2 I). "dps": r = 0 (DPS, Chung et al. 2023), which takes x_0-hat for certain: the shift is too
    large, on data N(m, s^2 I) with A = I by the factor 1 + r^2 / noise_std^2, and unstable where the noise is
    small. The paper tames it by a step size over ||y - A x_0-hat||, which belongs to one grid; here
    `scale` may fall with the level instead.

    One network call and its backward pass a step.

    Args:
      operator: of `guidance.operators`, or any Operator.
      measurement: y, `[B, ...]`, shaped like A x.
      noise_std: of the measurement; positive for "dps".
      method: "pigdm" or "dps".
      data_std: s.
      scale: of the shift, a number, `[B]`, or a function of the noise level.

    Raises:
      ValueError: for a number out of range, a measurement that is not finite, or (when called) one that is
        not shaped like A x.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> normal = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [1.0])
      >>> first = guidance.operators.mask(jnp.array([1, 0]))
      >>> guide = guidance.linear_inverse(first, jnp.array([[3.0, 0.0]]), noise_std=1.0)
      >>> guided = guide(normal.denoiser())(jnp.zeros((1, 2)), schedules.edm()(1.0))
      >>> guided.x0.tolist()  # of N(0, 1/2) given x_t, and y = 3 with variance 1
      [[1.0, 0.0]]
    """
    checks.not_negative("noise_std", noise_std)
    checks.positive("data_std", data_std)
    checks.finite("measurement", measurement)
    if method == "dps" and not noise_std:
        raise ValueError("noise_std must be positive for method 'dps', got 0")

    def gradient(x0, level, cond):
        del cond
        missed = jnp.asarray(measurement, x0.dtype) - operator.apply(x0)
        spread = _spread(level, data_std) if method == "pigdm" else 0.0
        return operator.adjoint(operator.solve(missed, spread, noise_std**2))

    guide = classifier(gradient, scale, of_x0=True)

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        guided = guide(denoise)

        def measured(x_t, level, cond=None):
            wanted, given = jax.eval_shape(operator.apply, x_t).shape, jnp.shape(measurement)
            if given != wanted:
                told = f"shaped like operator.apply(x), {list(wanted)}"
                raise ValueError(f"measurement must be {told}; got {list(given)}")
            return guided(x_t, level, cond)

        return measured

    return transform


def _spread(level, s):
    """Return r^2, the variance of N(m, s^2) data given x_t."""
    return s**2 * level.sigma**2 / (level.alpha**2 * s**2 + level.sigma**2)
