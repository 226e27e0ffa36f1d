"""The stochastic differential equation dx = f x dt + g dw that any schedule solves, and its ways back.

f = alpha' / alpha,      g^2 = 2 sigma sigma' - 2 f sigma^2         (Kingma et al. 2021; Song et al. 2021)

Schedules give f and g^2 in closed form where that is 0 / 0 (`Continuous.sde`).
"""

from diffjax.border import checked
from diffjax.process.level import Schedule, expand, namespace, require_rates
from diffjax.types import Array, ArrayLike, Float


@checked
def drift(schedule: Schedule, x: Float[Array, "*shape"], t: ArrayLike) -> Float[Array, "*shape"]:
    """Return f(t) x.

    Args:
      schedule: a schedule with rates.
      x: `[B, ...]`.
      t: scalar or `[B]`, inside [t_min, t_max]; f is infinite where alpha = 0.

    Raises:
      ValueError: for a chain, which has no rates.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import schedules, sde
      >>> sde.drift(schedules.vp_linear(2.0, 2.0), jnp.ones((1, 2)), 0.3).tolist()  # -beta x / 2
      [[-1.0, -1.0]]
    """
    return expand(_coefficients(schedule, t, "the drift")[0], x) * x


@checked
def diffusion(schedule: Schedule, t: ArrayLike) -> ArrayLike:
    """Return g(t), a scalar or `[B]`.

    Raises:
      ValueError: for a chain, which has no rates.

    Example:
      >>> from diffjax.process import schedules, sde
      >>> float(sde.diffusion(schedules.vp_linear(4.0, 4.0), 0.3))  # sqrt(beta)
      2.0
    """
    g2 = _coefficients(schedule, t, "the diffusion")[1]
    return namespace(g2).sqrt(g2)


@checked
def reverse_drift(
    schedule: Schedule, score: Float[Array, "*shape"], x: Float[Array, "*shape"], t: ArrayLike
) -> Float[Array, "*shape"]:
    """Return f x - g^2 score, the drift of the reverse-time SDE (Song et al. 2021, eq. 6).

    Its diffusion is the forward one's, and it is solved with negative dt.

    Args:
      schedule: a schedule with rates.
      score: `[B, ...]`, grad log p(x_t), e.g. `prediction.score(denoise(x, level, cond), level)`.
      x: `[B, ...]`.
      t: scalar or `[B]`, inside [t_min, t_max].

    Raises:
      ValueError: for a chain, which has no rates.
    """
    f, g2 = _coefficients(schedule, t, "the reverse drift")
    return expand(f, x) * x - expand(g2, x) * score


@checked
def probability_flow(
    schedule: Schedule, score: Float[Array, "*shape"], x: Float[Array, "*shape"], t: ArrayLike
) -> Float[Array, "*shape"]:
    """Return dx/dt = f x - g^2 score / 2, the ODE with the same marginals (Song et al. 2021, eq. 13).

    From a denoiser `prediction.velocity` gives the same without a division by sigma. Arguments and errors
    are those of `reverse_drift`.
    """
    f, g2 = _coefficients(schedule, t, "the probability flow")
    return expand(f, x) * x - expand(0.5 * g2, x) * score


def _coefficients(schedule, t, what):
    """Return f(t) and g(t)^2, scalars or `[B]`."""
    level = schedule(t)
    require_rates(level, what)
    if schedule.sde is not None:
        return schedule.sde(level.t)
    f = level.d_alpha / level.alpha
    return f, 2 * level.sigma * (level.d_sigma - f * level.sigma)
