"""score_sde's annealed Langevin corrector, with its step set by the noise level."""

import jax
import jax.numpy as jnp

from diffjax.process import checks, prediction
from diffjax.process.level import expand
from diffjax.samplers.mcmc.langevin import plan
from diffjax.samplers.solver import Solver, no_memory, one_value


@one_value
def ald(snr: float = 0.16, steps: int = 1) -> Solver:
    """Stay at the level: x <- x + h g + sqrt(2 h) z, h = 2 a (snr sigma_t)^2, g the score.

    Song & Ermon 2019 as the score_sde code has it: `langevin` with the norms' ratio replaced by sigma_t, so
    that h does not depend on x. a = (alpha_t / alpha_s)^2 of the step that follows, see `langevin`. A
    corrector: walked alone it ends at the last level but one, not on data.

    Args:
      snr: positive and finite.
      steps: Langevin steps a level, one network call each.

    Raises:
      ValueError: for an snr or steps that are not positive.

    Example:
      >>> from diffjax import samplers
      >>> samplers.predictor_corrector(samplers.ancestral(), samplers.ald(steps=2)).nfe
      3
    """
    checks.positive("snr", snr)
    steps = checks.count("steps", steps)

    def step(noise, denoise, x, row, cond, state):
        h = 2 * expand(row.share * (snr * row.level.sigma) ** 2, x)

        def once(d, x):
            grad = prediction.score(denoise(x, row.level, cond), row.level)
            return x + h * grad + jnp.sqrt(2 * h) * noise(d)

        return jax.lax.fori_loop(0, steps, once, x), state

    return Solver(no_memory, plan, step, nfe=steps, draws=steps)
