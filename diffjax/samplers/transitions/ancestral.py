"""Ancestral sampling: the model's own transitions, step by step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffjax.process import forward
from diffjax.process.level import Array, NoiseLevel, expand, neighbours
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    pair: forward.Pair
    noisy: Array  # 0 on arrival at sigma = 0, else 1


@one_value
def ancestral(
    variance: forward.Variance = "fixed_small",
    mean_shift: Callable[[Array, NoiseLevel, Any], Array] | None = None,
) -> Solver:
    """Sample x_s ~ p(x_s | x_t) (Ho et al. 2020, Alg. 2), on any grid of any schedule.

    On arrival at sigma = 0 it returns the mean, which there is the predicted x_0.

    Args:
      variance: "fixed_small" | "fixed_large" | "learned" | "learned_range", see `forward.reverse`.
      mean_shift: (x_t, level, cond) -> gradient `[B, ...]`; the mean moves by variance * gradient
        (classifier guidance, Dhariwal & Nichol 2021, Alg. 1).

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.ancestral(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """

    def plan(schedule, times):
        levels = schedule(times)
        below, above = neighbours(levels)
        pair = forward.pair(below, above, forward.floor(schedule, times))
        return _Row(above, pair, 1.0 * (below.sigma > 0))

    def step(noise, denoise, x, row, cond, state):
        model = forward.reverse_of(row.pair, denoise(x, row.level, cond), x, variance)
        mean = model.mean
        if mean_shift is not None:
            mean = mean + jnp.exp(model.log_variance) * mean_shift(x, row.level, cond)
        std = jnp.where(expand(row.noisy, x) > 0, jnp.exp(0.5 * model.log_variance), 0)
        return mean + std * noise(0), state

    return Solver(no_memory, plan, step, nfe=1, draws=1)
