"""The stochastic differential equation dx = f x dt + g dw that any schedule solves.

f = alpha' / alpha,      g^2 = 2 sigma sigma' - 2 f sigma^2         (Kingma et al. 2021; Song et al. 2021)
"""

from diffjax.process.level import expand, namespace, require_rates


def drift(schedule, x, t):
    """Return f(t) x.

    Args:
      schedule: a schedule with rates.
      x: `[B, ...]`.
      t: scalar or `[B]`, inside [t_min, t_max]; f is infinite where alpha = 0.

    Raises:
      ValueError: for a chain, which has no rates.
    """
    level = schedule(t)
    require_rates(level, "the drift")
    return expand(level.d_alpha / level.alpha, x) * x


def diffusion(schedule, t):
    """Return g(t), a scalar or `[B]`.

    Raises:
      ValueError: for a chain, which has no rates.
    """
    level = schedule(t)
    require_rates(level, "the diffusion")
    xp = namespace(level.sigma)
    g2 = 2 * level.sigma * (level.d_sigma - level.d_alpha / level.alpha * level.sigma)
    return xp.sqrt(g2)
