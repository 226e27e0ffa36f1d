"""Distribution matching: the law of what a generator makes is moved onto a teacher's, at all noise levels.

The gradient of KL(q_t, p_t) in a sample x_t of q_t is alpha (s_fake - s_real): the score of what is made less
that of data. The teacher says the second. The first is learned beside it, by a network that is trained on
nothing but what the generator makes (Yin et al. 2023, 2024; score distillation, Wang et al. 2023).
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.weightings import Weighting
from diffjax.process import checks, forward
from diffjax.process.level import NoiseLevel, expand, mean_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float


@checked
def distribution_matching(
    x: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    real: Denoiser,
    fake: Denoiser,
    *,
    real_cond: Any = None,
    fake_cond: Any = None,
    weighting: Weighting | None = None,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return a loss `[B]` whose gradient in x is g / D, g = w (x_fake(x_t) - x_real(x_t)) (DMD, eq. 7 and 8).

    Scores are (alpha x_0_hat - x_t) / sigma^2, so that alpha (s_fake - s_real) is SNR (x_fake - x_real). DMD
    weighs it so that g is the difference of the two over the mean of |x - x_real|. The loss, g^2 / 2 D, says
    how far the two denoisers are apart and not how good the samples are.

    Args:
      x: `[B, ...]`, what the generator made, through which the gradient goes.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel of x_t, scalars or `[B]`.
      real: Denoiser of the data: a teacher's, perhaps guided. No gradient reaches it.
      fake: Denoiser of what the generator makes. No gradient reaches it.
      real_cond, fake_cond: conditions of each.
      weighting: level -> w; None is DMD's. `weightings.snr()` makes g the gradient of KL(q_t, p_t).

    Returns:
      loss `[B]`, and aux {"x_t", "gradient"}.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import exact, objectives
      >>> from diffjax.process import schedules
      >>> real, fake = (exact.gaussian_mixture([1.0], [[m]], [0.0]).denoiser() for m in (0.5, 2.0))
      >>> x, level = jnp.full((1, 1), 2.0), schedules.edm()(1.0)
      >>> loss = lambda x: objectives.distribution_matching(x, 0 * x, level, real, fake)[0].sum()
      >>> round(float(jax.grad(loss)(x)[0, 0]), 4)  # (2 - 0.5) / |2 - 0.5|: x is to fall
      1.0
    """
    x_t = jax.lax.stop_gradient(forward.perturb(x, eps, level))
    known, made = real(x_t, level, real_cond).x0, fake(x_t, level, fake_cond).x0
    if weighting is None:
        weight = 1 / (mean_of_each(jnp.abs(x - known)) + 1e-8)
    else:
        weight = checks.one_each("weighting(level)", weighting(level), len(x))
        checks.finite("weighting(level)", weight)
    g = jax.lax.stop_gradient(expand(weight, x) * (made - known))
    loss = 0.5 * mean_of_each((x - jax.lax.stop_gradient(x - g)) ** 2)
    return loss, {"x_t": x_t, "gradient": g}
