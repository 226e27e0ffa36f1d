"""Consistency: a flow map says the same of every point of a trajectory (Song et al. 2023).

    L = w d(f(x_t, t), stop f^-(x_s, s)),    s < t on one trajectory, f(x, e) = x by construction

x_s is a step of a teacher's ODE from x_t (distillation), or has the noise of x_t (training): the data's own
step, right on average. f is any flow map that is asked for the last level e, such as `flow_maps.consistency`.
"""

from typing import Any

import jax

from diffjax import flow_maps, samplers
from diffjax.border import checked
from diffjax.objectives import metrics
from diffjax.process import checks, forward
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import NoiseLevel, namespace
from diffjax.process.prediction import Denoiser
from diffjax.samplers import Solver
from diffjax.types import Array, ArrayLike, Float


@checked
def consistency(
    student: FlowMap,
    target: FlowMap,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_s: NoiseLevel,
    level_end: NoiseLevel,
    cond: Any = None,
    *,
    teacher: Denoiser | None = None,
    teacher_cond: Any = None,
    solver: Solver | None = None,
    metric: metrics.Metric = metrics.l2,
    weight: ArrayLike = 1.0,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return w d(f(x_t, t), f^-(x_s, s)) of consistency distillation (Song et al. 2023, eq. 7) or training.

    No gradient reaches the target, nor the teacher. Student and target must draw the same dropout.

    Args:
      student: FlowMap that is trained.
      target: FlowMap: the student's own of the last step, or of a moving average of its parameters.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level_t, level_s: neighbours on the grid, t noisier, scalars or `[B]`.
      level_end: the last level e, that both maps are asked for.
      cond: condition handed to both, and to the teacher.
      teacher: Denoiser whose ODE makes x_s; None has x_s = alpha_s x_0 + sigma_s eps (eq. 9).
      teacher_cond: the teacher's own condition, where another encoder made it; None is `cond`.
      solver: of the teacher's step; default `edm_heun()`, `ddim()` is Euler.
      metric: (a, b) -> `[B]`, e.g. `metrics.pseudo_huber()`, or a distance of features.
      weight: w, a number or `[B]`; `weightings.edm()(level_t)`, say, or 1 / (t - s) of iCT.

    Returns:
      loss `[B]`, and aux {"x_t", "x_s", "student", "target"}.

    Raises:
      ValueError: unless t is noisier than s, where the host knows them.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import flow_maps, objectives
      >>> from diffjax.process import schedules
      >>> edm, f = schedules.edm(), flow_maps.exact_gaussian(mean=0.0, variance=0.0)
      >>> far = lambda x_t, level_t, level_s, cond=None: jnp.full_like(x_t, 2.0)
      >>> levels, zero = (edm(2.0), edm(1.0), edm(0.0)), jnp.zeros((1, 3))
      >>> objectives.consistency(far, f, zero, zero + 1, *levels)[0].tolist()
      [4.0]
    """
    checks.finite("weight", weight)
    weight = checks.one_each("weight", weight, len(x0))
    if namespace(level_t.log_snr, level_s.log_snr) is not jax.numpy:
        _require_order(level_t, level_s)
    x_t = forward.perturb(x0, eps, level_t)
    if teacher is None:
        x_s = forward.perturb(x0, eps, level_s)
    else:
        step = flow_maps.of_denoiser(teacher, samplers.edm_heun() if solver is None else solver)
        x_s = step(x_t, level_t, level_s, cond if teacher_cond is None else teacher_cond)
    x_s = jax.lax.stop_gradient(x_s)
    below = jax.lax.stop_gradient(target(x_s, level_s, level_end, cond))
    above = student(x_t, level_t, level_end, cond)
    loss = weight * checks.row_of("metric(a, b)", metric(above, below), len(x0))
    return loss, {"x_t": x_t, "x_s": x_s, "student": above, "target": below}


def _require_order(level_t, level_s):
    if not (level_t.log_snr < level_s.log_snr).all():
        raise ValueError("level_t must be noisier than level_s: t > s")
