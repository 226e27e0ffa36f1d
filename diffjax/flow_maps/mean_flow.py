"""The flow map of an average velocity."""

from collections.abc import Callable
from typing import Any

from diffjax.border import checked
from diffjax.process.flow_map import FlowMap, average_of, hop
from diffjax.process.level import time_of_each
from diffjax.types import Array


@checked
def mean_flow(average: Callable[[Array, Array, Array, Any], Array]) -> FlowMap:
    """Make the flow map x_s = x_t - (t - s) u(x_t, t, s), see `process.flow_map.hop`.

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
        t, s = time_of_each(level_t, x_t), time_of_each(level_s, x_t)
        return hop(x_t, t, s, average_of(average, x_t, t, s, cond))

    return flow_map
