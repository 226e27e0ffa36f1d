"""The flow map that is known in closed form."""

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import expand
from diffjax.types import ArrayLike


@checked
def exact_gaussian(mean: ArrayLike, variance: ArrayLike) -> FlowMap:
    """Return the flow map of data N(m, v), element by element.

    x_s = alpha_s m + sqrt((alpha_s^2 v + sigma_s^2) / (alpha_t^2 v + sigma_t^2)) (x_t - alpha_t m): at s = 0
    the consistency function, and (x_t - x_s) / (t - s) is MeanFlow's average velocity. Full covariances and
    mixtures: `exact.GaussianMixture.flow_map`.

    Args:
      mean, variance: numbers, or arrays that broadcast over x; a variance is at least 0.

    Raises:
      ValueError: for a variance that is negative or not finite; when called, for shapes that do not fit x.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import flow_maps
      >>> from diffjax.process import schedules
      >>> f, edm = flow_maps.exact_gaussian(mean=1.0, variance=9.0), schedules.edm()
      >>> f(jnp.full((1, 2), 6.0), edm(4.0), edm(0.0)).tolist()  # 1 + (3 / 5) (6 - 1)
      [[4.0, 4.0]]
    """
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    checks.within("variance", variance, 0.0, jnp.inf)

    def flow_map(x_t, level_t, level_s, cond=None):
        del cond
        checks.broadcasts("mean", mean, x_t, "x_t")
        checks.broadcasts("variance", variance, x_t, "x_t")
        m, v = jnp.asarray(mean, x_t.dtype), jnp.asarray(variance, x_t.dtype)
        std = lambda level: jnp.hypot(expand(level.alpha, x_t) * jnp.sqrt(v), expand(level.sigma, x_t))
        centred = x_t - expand(level_t.alpha, x_t) * m
        before = std(level_t)
        stretch = std(level_s) / jnp.where(before == 0, 1, before)  # a point stays one
        return expand(level_s.alpha, x_t) * m + stretch * centred

    return flow_map
