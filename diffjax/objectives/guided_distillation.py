"""Distilling what a denoiser is told by another: guidance, which costs two calls, into one network."""

from typing import Any

import jax

from diffjax.border import checked
from diffjax.objectives.weightings import Weighting
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, mean_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float


@checked
def guided_distillation(
    student: Denoiser,
    guided: Denoiser,
    x_t: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    teacher_cond: Any = None,
    weighting: Weighting | None = None,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return w(t) ||x_guided(x_t, c) - x_student(x_t, c, w)||^2 / D (Meng et al. 2023, eq. 3).

    The student is told the guidance weight by its condition, and learns (1 + w) x(c) - w x(null) for all of
    them. No gradient reaches the teacher.

    Args:
      student: Denoiser that is trained.
      guided: Denoiser, e.g. `guidance.classifier_free(weight=w, null=null)(teacher)` with w `[B]`.
      x_t: `[B, ...]`, data with noise of this level.
      level: NoiseLevel, scalars or `[B]`.
      cond: the student's condition, with w.
      teacher_cond: the teacher's, without; None is `cond`.
      weighting: level -> weight of ||x_0 - x_0_hat||^2; None is 1.

    Returns:
      loss `[B]`, and aux {"target", "prediction"}.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance, objectives
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[-1.0], [1.0]], [1e-6, 1e-6]).denoiser()
      >>> guided = guidance.classifier_free(weight=jnp.array([2.0]), null=-1)(two)
      >>> x, level, label = jnp.zeros((1, 1)), schedules.edm()(1.0), jnp.array([1])
      >>> loss, aux = objectives.guided_distillation(two, guided, x, level, label)
      >>> round(float(loss[0]), 3), round(float(aux["target"][0, 0]), 3)  # 3 is aimed at, and 1 said
      (4.0, 3.0)
    """
    told = cond if teacher_cond is None else teacher_cond
    target = jax.lax.stop_gradient(guided(x_t, level, told).x0)
    prediction = student(x_t, level, cond)
    return x0_error(prediction.x0, target, level, weighting), {"target": target, "prediction": prediction}


def x0_error(x0: Array, target: Array, level: NoiseLevel, weighting: Weighting | None) -> Array:
    """Return w(t) ||x_0 - target||^2 / D, `[B]`."""
    error = mean_of_each((x0 - target) ** 2)
    if weighting is None:
        return error
    return error * checks.one_each("weighting(level)", weighting(level), len(x0))
