"""MeanFlow: the average velocity from t to s, learned by forward mode (Geng et al. 2025).

    u(x_t, t, s) = (x_t - x_s) / (t - s) = 1 / (t - s) int_s^t v dt'

Its derivative along the trajectory gives v = u + (t - s) du/dt, du/dt = v . grad_x u + d_t u, which holds at
every point if and only if u is right. One Jacobian-vector product makes du/dt.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.average_velocity import begin, velocity
from diffjax.process import checks
from diffjax.process.flow_map import average_of
from diffjax.process.level import NoiseLevel, expand, sum_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float, Key

Average = Callable[[Array, Array, Array, Any], Array]  # (x_t `[B, ...]`, t `[B]`, s `[B]`, cond) -> u


@checked
def mean_flow(
    average: Callable[[Array, Array, Array, Any], Array],
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_s: NoiseLevel,
    cond: Any = None,
    *,
    improved: bool = False,
    power: float = 1.0,
    offset: float = 0.01,
    teacher: Denoiser | None = None,
    teacher_cond: Any = None,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return w ||u + (t - s) stop(du/dt) - v||^2, v = alpha' x_0 + sigma' eps (Geng et al. 2025, eq. 10, 22).

    The weight is 1 / (||.||^2 + offset)^power, without a gradient. At s = t it is flow matching.

    Args:
      average: (x_t `[B, ...]`, t `[B]`, s `[B]`, cond) -> u `[B, ...]`, that forward mode goes through.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level_t, level_s: s <= t, `[B]` each or scalars, of a schedule with rates; the paper's `rectified_flow`.
      cond: condition.
      improved: take the tangent along the predicted velocity u(x_t, t, t) instead of v, which is one draw of
        it (improved MeanFlow, Geng et al. 2025b).
      power: of the weight; 0 is none, the papers' 1 (ImageNet) and 0.75 (CIFAR-10).
      offset: of the weight, positive.
      teacher: Denoiser that says v, along which the tangent is too; None takes the data's.
      teacher_cond: the teacher's own condition, where another encoder made it; None is `cond`.

    Returns:
      loss `[B]`, and aux {"x_t", "average", "velocity"}: u, and v as u says it.

    Raises:
      ValueError: for a schedule without rates, or t < s, where the host knows them.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> flow, one = schedules.rectified_flow(), jnp.ones((1, 2))
      >>> point = lambda x, t, s, cond: x / t[:, None]  # all data are 0
      >>> objectives.mean_flow(point, 0 * one, one, flow(0.75), flow(0.25))[0].tolist()
      [0.0]
    """
    checks.positive("offset", offset)
    checks.not_negative("power", power)
    x_t, (t, s) = begin(x0, eps, level_t, level_s)
    told = cond if teacher_cond is None else teacher_cond
    here = jax.lax.stop_gradient(velocity(x0, eps, x_t, level_t, teacher, told))
    tangent = jax.lax.stop_gradient(average_of(average, x_t, t, t, cond)) if improved else here
    along = lambda x, t: average_of(average, x, t, s, cond)
    u, slope = jax.jvp(along, (x_t, t), (tangent.astype(x_t.dtype), jnp.ones_like(t)))
    said = u + expand(t - s, x_t) * jax.lax.stop_gradient(slope)
    square = sum_of_each((said - here) ** 2)
    weight = jax.lax.stop_gradient(square + offset) ** -power
    return weight * square, {"x_t": x_t, "average": u, "velocity": said}


@checked
def two_times(
    key: Key[Array, ""],
    n: int,
    draw: Callable[[Array, int], Array],
    share_equal: float = 0.75,
    draw_s: Callable[[Array, int], Array] | None = None,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Draw t >= s: of two draws the later and the earlier, and s = t in a share of the rows.

    Geng et al. 2025, sec. 4.3.

    Args:
      key: consumed.
      n: rows.
      draw: (key, n) -> `[n]` times, e.g. `objectives.logit_normal(-0.4, 1.0)`.
      share_equal: of rows that learn the velocity itself, in [0, 1].
      draw_s: another law of the second draw.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> t, s = objectives.two_times(jax.random.key(0), 4, objectives.logit_normal(-0.4), share_equal=1.0)
      >>> bool((t == s).all())
      True
    """
    checks.within("share_equal", share_equal, 0.0, 1.0)
    checks.count("n", n)
    key_one, key_other, key_equal = jax.random.split(key, 3)
    one = checks.row_of("draw(key, n)", draw(key_one, n), n)
    other = checks.row_of("draw_s(key, n)", (draw if draw_s is None else draw_s)(key_other, n), n)
    t, s = jnp.maximum(one, other), jnp.minimum(one, other)
    return t, jnp.where(jax.random.uniform(key_equal, (n,)) < share_equal, t, s)
