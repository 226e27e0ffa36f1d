"""Resampling: a solver that goes back up and down again, so that what is filled in suits what is known."""

from typing import Any, NamedTuple

import jax
import numpy as np

from diffjax.process import checks, forward
from diffjax.process.level import Array, expand, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    step: Any
    scale: Array  # of x after the step: 1, or the transition's up to a noisier level
    noise: Array


@one_value
def repaint(solver: Solver, jump_length: int = 10, resamplings: int = 10) -> Solver:
    """Walk with jumps back: x_t = alpha_ts x_s + noise, up `jump_length` steps and down again.

    Lugmayr et al. 2022 (RePaint), Alg. 1, and its schedule of jumps: one step from data, and every
    `jump_length` steps before that, the walk goes up and comes down again `resamplings - 1` times. With
    `guidance.inpaint` the filled and the known part come to suit each other: the more resamplings, the nearer
    to p(x_0 | known). Without guidance the law of the samples is the solver's own. Network calls: about
    `resamplings` times the solver's.

    Args:
      solver: Solver without memory between steps, e.g. `ancestral()`, `ddim()`.
      jump_length: j, in steps of the grid.
      resamplings: r; 1 is the solver itself.

    Raises:
      ValueError: for a solver with memory; in `plan`, for one that does not take one step from time to time,
        or a grid of no more steps than a jump has.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> chain, solver = schedules.linear_beta(1000), samplers.repaint(samplers.ancestral(), 10, 10)
      >>> samplers.network_calls(solver, samplers.plan(chain, solver, samplers.grids.spaced(1000, "250")))
      2410
    """
    checks.count("jump_length", jump_length)
    checks.count("resamplings", resamplings)
    if solver.init is not no_memory:
        raise ValueError("solver must have no memory between steps, which a jump would make wrong")

    def plan(schedule, times):
        levels, steps = schedule(times), len(times) - 1
        rows = solver.plan(schedule, times)
        if len(jax.tree.leaves(rows)[0]) != steps:
            raise ValueError("solver must take one step from each time to the next")
        if resamplings > 1 and steps <= jump_length:
            raise ValueError(f"jump_length must be below the {steps} steps of the grid, got {jump_length}")
        order, jumps = _order(steps, jump_length, resamplings)
        landed = order[jumps]
        up = forward.pair(part(levels, landed + 1), part(levels, landed + 1 - jump_length))
        scale, noise = np.ones(len(order)), np.zeros(len(order))
        scale[jumps], noise[jumps] = up.alpha_ts, np.exp(0.5 * up.log_var_ts)
        return _Row(jax.tree.map(lambda a: a[order], rows), scale, noise)

    def then(advance):
        def step(noise, denoise, x, row, cond, state):
            x, state = advance(noise, denoise, x, row.step, cond, state)
            return expand(row.scale, x) * x + expand(row.noise, x) * noise(solver.draws), state

        return step

    return solver._replace(
        plan=plan, step=then(solver.step), draws=solver.draws + 1, last=solver.last and then(solver.last)
    )


def _order(steps: int, length: int, resamplings: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps in the order they are taken, and after which of them (positions) the walk jumps up."""
    left = {n: resamplings - 1 for n in range(1, steps - length + 1, length)}  # steps to go -> jumps to come
    order, jumps, to_go = [], [], steps
    while to_go:
        order.append(steps - to_go)
        to_go -= 1
        if left.get(to_go, 0):
            left[to_go] -= 1
            jumps.append(len(order) - 1)
            to_go += length
    return np.array(order), np.array(jumps, int)
