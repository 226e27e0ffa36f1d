"""Progressive distillation: one step of a student where its teacher takes two (Salimans & Ho 2022).

Two steps of DDIM from z_t over t' to t'' with the teacher's x_1 at z_t and x_2 at z_t' give, with the slope
a = alpha / sigma of each level,

    z_t' / sigma_t' = z_t / sigma_t + (a_t' - a_t) x_1,
    z_t'' / sigma_t'' = z_t' / sigma_t' + (a_t'' - a_t') x_2

and the x~ with which one step lands there is their mean in the shares of a (Alg. 2, app. G):

    x~ = (z_t'' - (sigma_t'' / sigma_t) z_t) / (alpha_t'' - (sigma_t'' / sigma_t) alpha_t)
       = l x_1 + (1 - l) x_2,
    l = (a_t' - a_t) / (a_t'' - a_t)

without a difference of nearly equal numbers, and with x~ = x_2 on arrival at data.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.guided_distillation import x0_error
from diffjax.objectives.weightings import Weighting
from diffjax.process.level import NoiseLevel, expand, namespace
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float


@checked
def two_ddim_steps(
    teacher: Denoiser,
    x_t: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_mid: NoiseLevel,
    level_s: NoiseLevel,
    cond: Any = None,
) -> Float[Array, "batch *shape"]:
    """Return the x_0 with which one step of DDIM from t lands where two of the teacher's do.

    Args:
      teacher: Denoiser.
      x_t: `[B, ...]`.
      level_t, level_mid, level_s: t > t' > t'', scalars or `[B]`; the last may be clean data.
      cond: condition handed to the teacher.

    Raises:
      ValueError: for levels in another order, where the host knows them.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, objectives
      >>> from diffjax.process import schedules
      >>> flow, point = schedules.rectified_flow(), exact.gaussian_mixture([1.0], [[0.5]], [0.0])
      >>> levels = flow(1.0), flow(0.5), flow(0.0)
      >>> objectives.two_ddim_steps(point.denoiser(), jnp.ones((1, 1)), *levels).tolist()
      [[0.5]]
    """
    _require_order(level_t, level_mid, level_s)
    first = teacher(x_t, level_t, cond)
    alpha, sigma = expand(level_mid.alpha, x_t), expand(level_mid.sigma, x_t)
    second = teacher(alpha * first.x0 + sigma * first.eps, level_mid, cond)
    share = expand(_share(level_t, level_mid, level_s), x_t)
    return share * first.x0 + (1 - share) * second.x0


@checked
def progressive_distillation(
    student: Denoiser,
    teacher: Denoiser,
    x_t: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_mid: NoiseLevel,
    level_s: NoiseLevel,
    cond: Any = None,
    *,
    teacher_cond: Any = None,
    weighting: Weighting | None = None,
) -> tuple[Float[Array, "batch"], dict[str, Any]]:
    """Return w(t) ||x~ - x_student(z_t)||^2 / D, x~ of `two_ddim_steps` (Salimans & Ho 2022, Alg. 2).

    No gradient reaches the teacher.

    Args:
      student: Denoiser that is trained.
      teacher: Denoiser.
      x_t: `[B, ...]`, data with noise of level t.
      level_t, level_mid, level_s: t and s on the student's grid, and the half step between.
      cond: condition handed to both.
      teacher_cond: the teacher's own, where another encoder made it; None is `cond`.
      weighting: level -> weight of ||x_0 - x_0_hat||^2, of level t; None is 1. The paper's are
        `weightings.truncated_snr` and `weightings.snr_plus_one`.

    Returns:
      loss `[B]`, and aux {"target", "prediction"}.

    Raises:
      ValueError: unless t > mid > s, where the host knows them.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, objectives
      >>> from diffjax.process import schedules
      >>> flow = schedules.rectified_flow()
      >>> one, other = (exact.gaussian_mixture([1.0], [[m]], [0.0]).denoiser() for m in (0.5, 1.0))
      >>> levels = flow(1.0), flow(0.5), flow(0.0)
      >>> objectives.progressive_distillation(other, one, jnp.ones((1, 1)), *levels)[0].tolist()
      [0.25]
    """
    told = cond if teacher_cond is None else teacher_cond
    target = jax.lax.stop_gradient(two_ddim_steps(teacher, x_t, level_t, level_mid, level_s, told))
    prediction = student(x_t, level_t, cond)
    return x0_error(prediction.x0, target, level_t, weighting), {"target": target, "prediction": prediction}


def _share(level_t, level_mid, level_s):
    """Return l = (a_mid - a_t) / (a_s - a_t), a = exp(log SNR / 2); 0 where s is clean data."""
    xp = namespace(level_t.log_snr, level_mid.log_snr, level_s.log_snr)
    half = lambda one, other: 0.5 * (other.log_snr - one.log_snr)
    rest = xp.exp(-half(level_mid, level_s))
    return rest * xp.expm1(-half(level_t, level_mid)) / xp.expm1(-half(level_t, level_s))


def _require_order(level_t, level_mid, level_s):
    levels = [each.log_snr for each in (level_t, level_mid, level_s)]
    if namespace(*levels) is not jnp and not ((levels[0] < levels[1]) & (levels[1] < levels[2])).all():
        raise ValueError("level_t must be noisier than level_mid, and that noisier than level_s")
