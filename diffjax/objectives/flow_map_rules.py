"""Two more equations of a flow map, X(x_t, t, s) = x_t - (t - s) u(x_t, t, s) of an average velocity u.

    Eulerian      d/dt X(x_t, t, s) = 0 along the trajectory: `objectives.mean_flow`
    Lagrangian    d/ds X(x_t, t, s) = v(X(x_t, t, s), s): `lagrangian`
    semigroup     X(X(x_t, t, m), m, s) = X(x_t, t, s): `shortcut`

Each holds together with u = v at s = t if and only if u is right (Boffi et al. 2024). v is the data's, on
average, or a teacher's; where s = t it is all that is learned.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.average_velocity import begin, velocity
from diffjax.process import checks, prediction
from diffjax.process.flow_map import average_of, hop
from diffjax.process.level import NoiseLevel, expand, mean_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, Float, Key

Average = Callable[[Array, Array, Array, Any], Array]  # (x_t `[B, ...]`, t `[B]`, s `[B]`, cond) -> u


@checked
def shortcut(
    average: Average,
    target: Average,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_mid: NoiseLevel,
    level_s: NoiseLevel,
    cond: Any = None,
    *,
    target_cond: Any = None,
    teacher: Denoiser | None = None,
    teacher_cond: Any = None,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return ||u(x_t, t, s) - stop(two hops')||^2 / D (Frans et al. 2024, eq. 5), of s = t flow matching.

    Two hops over m have the average velocity (t - m) / (t - s) u(x_t, t, m) + (m - s) / (t - s) u(x_m, m, s).

    Args:
      average: u, that is trained.
      target: u of the hops: the same, or of a moving average of its parameters. No gradient reaches it.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level_t, level_mid, level_s: s <= m <= t, `[B]` each or scalars, of a schedule with rates.
      cond: condition.
      target_cond, teacher_cond: those of the target and the teacher, where other encoders made them.
      teacher: Denoiser that says the velocity; None takes the data's.

    Returns:
      loss `[B]`, and aux {"x_t", "average", "target"}.

    Raises:
      ValueError: for a schedule without rates, or another order, where the host knows it.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> flow, one = schedules.rectified_flow(), jnp.ones((1, 2))
      >>> point = lambda x, t, s, cond: x / t[:, None]  # all data are 0
      >>> levels = flow(0.75), flow(0.5), flow(0.25)
      >>> objectives.shortcut(point, point, 0 * one, one, *levels)[0].tolist()
      [0.0]
    """
    x_t, (t, mid, s) = begin(x0, eps, level_t, level_mid, level_s)
    told = cond if target_cond is None else target_cond
    first = average_of(target, x_t, t, mid, told, "target")
    second = target(hop(x_t, t, mid, first), mid, s, told)
    share = expand((t - mid) / jnp.where(t == s, 1, t - s), x_t)
    here = velocity(x0, eps, x_t, level_t, teacher, cond if teacher_cond is None else teacher_cond)
    goal = jnp.where(expand(t - s, x_t) == 0, here, share * first + (1 - share) * second)
    goal, own = jax.lax.stop_gradient(goal), average_of(average, x_t, t, s, cond)
    return mean_of_each((own - goal) ** 2), {"x_t": x_t, "average": own, "target": goal}


@checked
def lagrangian(
    average: Average,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level_t: NoiseLevel,
    level_s: NoiseLevel,
    cond: Any = None,
    *,
    teacher: Denoiser | None = None,
    teacher_cond: Any = None,
) -> tuple[Float[Array, " batch"], dict[str, Any]]:
    """Return ||d/ds X(x_t, t, s) - stop v(X(x_t, t, s), s)||^2 / D (Boffi et al. 2024).

    d/ds X = u - (t - s) du/ds is one Jacobian-vector product, which the gradient goes through; v is the
    teacher's, or u(X, s, s) without one. Of s = t it is flow matching.

    Args:
      average: u, that is trained; forward mode goes through it.
      x0, eps, level_t, level_s, cond, teacher, teacher_cond: see `shortcut`.

    Returns:
      loss `[B]`, and aux {"x_t", "x_s", "slope"}.

    Raises:
      ValueError: for a schedule without rates, or t < s, where the host knows them.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> flow, one = schedules.rectified_flow(), jnp.ones((1, 2))
      >>> point = lambda x, t, s, cond: x / t[:, None]  # all data are 0
      >>> objectives.lagrangian(point, 0 * one, one, flow(0.75), flow(0.25))[0].tolist()
      [0.0]
    """
    x_t, (t, s) = begin(x0, eps, level_t, level_s)
    to = lambda s: hop(x_t, t, s, average_of(average, x_t, t, s, cond))
    x_s, slope = jax.jvp(to, (s,), (jnp.ones_like(s),))
    told = cond if teacher_cond is None else teacher_cond
    ends = jax.lax.stop_gradient(x_s)
    there = (
        average(ends, s, s, cond)
        if teacher is None
        else prediction.velocity(teacher(ends, level_s, told), level_s)
    )
    here = velocity(x0, eps, x_t, level_t, teacher, told)
    goal = jax.lax.stop_gradient(jnp.where(expand(t - s, x_t) == 0, here, there))
    return mean_of_each((slope - goal) ** 2), {"x_t": x_t, "x_s": x_s, "slope": slope}


@checked
def shortcut_times(
    key: Key[Array, ""],
    n: int,
    draw: Callable[[Array, int], Array],
    finest: int = 128,
    share_equal: float = 0.75,
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """Draw t >= m >= s of a shortcut: t - s is 1, 1/2, ..., 2 / finest, t a multiple of it, and m between.

    Frans et al. 2024, sec. 3.2. In a share of the rows s = t, of a time that `draw` says.

    Args:
      key: consumed.
      n: rows.
      draw: (key, n) -> `[n]` times in [0, 1].
      finest: a power of two, at least 2: 1 / finest is the smallest step.
      share_equal: of rows that learn the velocity itself, in [0, 1].

    Raises:
      ValueError: for another `finest`.

    Example:
      >>> import jax
      >>> from diffjax import objectives
      >>> draw = lambda key, n: jax.random.uniform(key, (n,))
      >>> t, m, s = objectives.shortcut_times(jax.random.key(0), 4, draw, finest=2, share_equal=0.0)
      >>> t.tolist(), m.tolist(), s.tolist()
      ([1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0])
    """
    checks.within("share_equal", share_equal, 0.0, 1.0)
    if checks.count("finest", finest, least=2) & (finest - 1):
        raise ValueError(f"finest must be a power of two, got {finest}")
    checks.count("n", n)
    key_gap, key_place, key_equal, key_draw = jax.random.split(key, 4)
    hops = 2.0 ** jax.random.randint(key_gap, (n,), 0, finest.bit_length() - 1)
    place = 1 + jnp.floor(hops * jax.random.uniform(key_place, (n,)))
    equal = jax.random.uniform(key_equal, (n,)) < share_equal
    alone = checks.row_of("draw(key, n)", draw(key_draw, n), n)
    at = lambda back: jnp.where(equal, alone, (place - back) / hops)
    return at(0.0), at(0.5), at(1.0)
