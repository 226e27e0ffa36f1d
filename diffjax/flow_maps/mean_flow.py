"""The flow map of an average velocity."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import expand
from diffjax.types import Array


@checked
def mean_flow(average: Callable[[Array, Array, Array, Any], Array]) -> FlowMap:
    """Make the flow map x_s = x_t - (t - s) u(x_t, t, s) (Geng et al. 2025, eq. 12).

    Args:
      average: (x_t `[B, ...]`, t `[B]`, s `[B]`, cond) -> u `[B, ...]`, the average velocity from t to s.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import flow_maps
      >>> from diffjax.process import schedules
      >>> flow, point = schedules.rectified_flow(), lambda x, t, s, cond: x / t[:, None]  # all data are 0
      >>> flow_maps.mean_flow(point)(jnp.ones((1, 2)), flow(1.0), flow(0.25)).tolist()
      [[0.25, 0.25]]
    """

    def flow_map(x_t, level_t, level_s, cond=None):
        each = lambda level: jnp.broadcast_to(jnp.asarray(level.t, x_t.dtype), x_t.shape[:1])
        t, s = each(level_t), each(level_s)
        u = checks.same_shape("average(x_t, t, s, cond)", average(x_t, t, s, cond), x_t, "x_t")
        return x_t - expand(t - s, x_t) * u

    return flow_map
