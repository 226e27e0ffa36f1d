"""Consistency in continuous time, by forward mode (sCM, Lu & Song 2024).

In TrigFlow's coordinates sigma / alpha = d tan t, d the standard deviation of data, and

    x = cos(t) x_0 + sin(t) d eps = (cos(t) / alpha) x_t,    dx/dt = cos(t) d eps - sin(t) x_0,
    f(x, t) = cos(t) x - sin(t) d F(x, t),    d F = cos(t) d eps_hat - sin(t) x_0_hat

any denoiser has an F, the velocity it predicts, and its x_0_hat is f. f says the same of all points of a
trajectory if and only if its tangent along it vanishes:

    cos(t) df/dt = -cos(t)^2 (d F - dx/dt) - cos(t) sin(t) (x + d dF/dt)

One Jacobian-vector product makes the last term: with u = log(sigma / alpha), cos(t) sin(t) d/dt = d/du.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import Schedule, expand, mean_of_each, sum_of_each
from diffjax.process.prediction import Denoiser, Prediction
from diffjax.types import Array, ArrayLike, Float


@checked
def continuous_consistency(
    student: Denoiser,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    ratio: Float[Array, " batch"],
    schedule: Schedule,
    cond: Any = None,
    *,
    sigma_data: float = 0.5,
    teacher: Denoiser | None = None,
    teacher_cond: Any = None,
    warmup: ArrayLike = 1.0,
    offset: float | None = 0.1,
    log_weight: ArrayLike = 0.0,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return e^w ||F - stop(F + g)||^2 / D - w of sCM (Lu & Song 2024, eq. 8 and Alg. 1).

    g = -cos^2(t) (d F - dx/dt) - r cos(t) sin(t) (x + d dF/dt), over ||g|| + c. No gradient reaches the
    teacher, nor goes through g.

    Args:
      student: Denoiser that is trained, whose x_0 is the consistency function; forward mode goes through it.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      ratio: sigma / alpha of x_t, positive; the paper's is log-normal.
      schedule: a continuous one, on which the student is asked.
      cond: condition handed to both.
      sigma_data: d.
      teacher: Denoiser that says dx/dt (distillation); None takes that of the data (training).
      teacher_cond: the teacher's own condition, where another encoder made it; None is `cond`.
      warmup: r, from 0 to 1 within the first steps.
      offset: c; None takes g as it is, without its norm.
      log_weight: w, a number or `[B]`, which may be learned: then e^-w is the mean square.

    Returns:
      loss `[B]`, and aux {"x_t", "tangent"}, g before its norm is taken.

    Raises:
      ValueError: for a chain, or numbers that are not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, objectives
      >>> from diffjax.process import schedules
      >>> point, one = exact.gaussian_mixture([1.0], [[0.5]], [0.0]).denoiser(), jnp.ones((1, 1))
      >>> _, aux = objectives.continuous_consistency(
      ...     point, 0.5 * one, one, jnp.ones(1), schedules.edm(), offset=None
      ... )
      >>> abs(round(float(aux["tangent"][0, 0]), 4))  # all trajectories end in the point
      0.0
    """
    if schedule.num_steps is not None:
        raise ValueError("schedule must be continuous, or a chain's .continuous(): time is differentiated")
    checks.positive("sigma_data", sigma_data)
    if offset is not None:
        checks.positive("offset", offset)
    checks.within("ratio", ratio, float(jnp.finfo(x0.dtype).tiny), jnp.inf)
    checks.within("warmup", warmup, 0.0, 1.0)
    checks.finite("log_weight", log_weight)
    w = checks.one_each("log_weight", log_weight, len(x0))
    ratio = jnp.asarray(ratio, x0.dtype)
    level = schedule.at_ratio(ratio)
    t = jnp.arctan(ratio / sigma_data)
    cos, sin = (expand(each, x0) for each in (jnp.cos(t), jnp.sin(t)))
    x = cos * (x0 + expand(ratio, x0) * eps)
    x_t = expand(level.alpha, x) / cos * x
    if teacher is None:
        velocity = _velocity(Prediction(x0, eps), cos, sin, sigma_data)
    else:
        said = teacher(x_t, level, cond if teacher_cond is None else teacher_cond)
        velocity = jax.lax.stop_gradient(_velocity(said, cos, sin, sigma_data))

    def predicted(x, log_ratio):
        """Return d F at x in the coordinates above."""
        ratio = jnp.exp(log_ratio)
        at, t = schedule.at_ratio(ratio), jnp.arctan(ratio / sigma_data)
        cos, sin = expand(jnp.cos(t), x), expand(jnp.sin(t), x)
        return _velocity(student(expand(at.alpha, x) / cos * x, at, cond), cos, sin, sigma_data)

    log_ratio = jnp.log(ratio)
    own, slope = jax.jvp(predicted, (x, log_ratio), (cos * sin * velocity, jnp.ones_like(log_ratio)))
    g = -(cos**2) * (own - velocity) - expand(warmup, x) * (cos * sin * x + slope)
    g = jax.lax.stop_gradient(g)
    step = g if offset is None else g / (expand(jnp.sqrt(sum_of_each(g**2)), x) + offset)
    f = own / sigma_data
    square = mean_of_each((f - jax.lax.stop_gradient(f + step)) ** 2)
    return jnp.exp(w) * square - w, {"x_t": x_t, "tangent": g}


def _velocity(said, cos, sin, sigma_data):
    return cos * sigma_data * said.eps - sin * said.x0
