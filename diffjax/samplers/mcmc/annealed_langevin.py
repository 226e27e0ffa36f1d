"""Annealed Langevin dynamics of NCSN."""

from typing import NamedTuple

import jax
import numpy as np

from diffjax.process import checks
from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    eps: Array
    noise: Array


@one_value
def annealed_langevin(step_size: float = 2e-5, steps: int = 100, denoise_last: bool = True) -> Solver:
    """Take T steps at each level, x <- x + a_i/2 score + sqrt(a_i) z, a_i = step_size sigma_i^2 / sigma_L^2.

    Song & Ermon 2019, Alg. 1 (step_size 2e-5, T = 100, ten levels). Song & Ermon 2020, Alg. 1, writes the
    same steps with a_i / 2 as its alpha_i: step_size is twice its epsilon. sigma_L is the smallest
    noise of the grid. The levels are all times but the last, which is where the walk arrives:
    a grid ends with 0 so that sigma_L has its turn. A grid of one level is plain Langevin dynamics. For
    variance-exploding levels: x is not rescaled from level to level.

    On arrival at sigma = 0 it returns the predicted x_0 (Jolicoeur-Martineau et al. 2020; one more network
    call), or with denoise_last=False the last x of sigma_L, which keeps that much noise (Song & Ermon 2019).

    Args:
      step_size: epsilon of the papers, a_i at the smallest level.
      steps: T, steps a level, one network call each.
      denoise_last: end with the predicted x_0.

    Raises:
      ValueError: for a step_size or steps that are not positive; in `plan`, for a level at sigma = 0 or
        levels whose alpha differ.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.annealed_langevin(steps=5), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      51
    """
    checks.positive("step_size", step_size)
    steps = checks.count("steps", steps)

    def plan(schedule, times):
        level = part(schedule(times), slice(-1))
        if (level.sigma == 0).any():
            raise ValueError("annealed_langevin needs noise: the score is infinite at sigma = 0")
        if not np.allclose(level.alpha, level.alpha[0], rtol=1e-6):
            raise ValueError(
                "annealed_langevin does not rescale x from level to level: it needs a schedule of constant "
                f"alpha (geometric, ve, edm), got alpha from {level.alpha[0]:g} to {level.alpha[-1]:g}"
            )
        a = step_size * (level.sigma / level.sigma.min()) ** 2
        return _Row(level, -0.5 * a / level.sigma, np.sqrt(a))

    def step(noise, denoise, x, row, cond, state):
        drift, spread = expand(row.eps, x), expand(row.noise, x)

        def once(d, x):
            return x + drift * denoise(x, row.level, cond).eps + spread * noise(d)

        return jax.lax.fori_loop(0, steps, once, x), state

    def last(noise, denoise, x, row, cond, state):
        x, state = step(noise, denoise, x, row, cond, state)
        return denoise(x, row.level, cond).x0, state

    arrive = last if denoise_last else None
    return Solver(no_memory, plan, step, nfe=steps, draws=steps, last=arrive, last_nfe=steps + 1)
