"""Walking a flow map, from one level of a grid to the next."""

from typing import NamedTuple

from diffjax.process.level import Array, NoiseLevel, expand, namespace, neighbours, part
from diffjax.samplers import asking
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    target: NoiseLevel  # that the map is asked for
    keep: Array  # what the renoised x has of it
    noise: Array


@one_value
def jump(renoise: bool = False) -> Solver:
    """Go where a flow map says: x_s = f(x_t, level_t, level_s), or to the last level and up again with noise.

    Walks a `FlowMap` in the place of a denoiser, one call a step. With the exact map any grid ends where the
    ODE does; without noise it walks upwards too, if the map does.

    With `renoise` each step goes to the last level e of the grid, and from there to its own by fresh noise:
    x_s = (alpha_s / alpha_e) x_e + sqrt(sigma_s^2 - (alpha_s sigma_e / alpha_e)^2) z. That is multistep
    consistency sampling (Song et al. 2023, Alg. 1), for maps that know one end only; x_s has the right
    marginal if x_e has.

    Args:
      renoise: whether each step goes over the last level.

    Example:
      >>> import jax
      >>> from diffjax import flow_maps, samplers
      >>> from diffjax.process import schedules
      >>> exact, key = flow_maps.exact_gaussian(mean=0.5, variance=0.0), jax.random.key(0)
      >>> samplers.sample(key, exact, schedules.edm(), samplers.jump(), [80.0, 0.0], shape=(1, 2)).tolist()
      [[0.5, 0.5]]
    """

    def plan(schedule, times):
        levels = schedule(times)
        (below, above), last = neighbours(levels), part(levels, slice(-1, None))
        xp = namespace(levels.alpha)
        if not renoise:
            return _Row(above, below, xp.zeros_like(below.t), xp.zeros_like(below.t))
        keep = below.alpha / last.alpha
        target = NoiseLevel(*(None if f is None else xp.broadcast_to(f, below.t.shape) for f in last))
        return _Row(above, target, keep, xp.sqrt(xp.maximum(below.sigma**2 - (keep * last.sigma) ** 2, 0)))

    def step(noise, flow_map, x, row, cond, state):
        x = flow_map(x, row.level, row.target, cond)
        return (expand(row.keep, x) * x + expand(row.noise, x) * noise(0) if renoise else x), state

    draws = 1 if renoise else 0
    return Solver(no_memory, plan, step, nfe=1, draws=draws, asked=asking.jumps)
