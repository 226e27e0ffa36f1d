"""Predictor-corrector sampling of any two solvers."""

import jax

from diffjax.samplers.solver import Solver, one_value


@one_value
def predictor_corrector(predictor: Solver, corrector: Solver) -> Solver:
    """Let the corrector act at each level first, then the predictor step to the next level.

    Song et al. 2021, Alg. 1, in the order of score_sde. Draws add up, the corrector's come first; so do
    network calls. On arrival at sigma = 0 it returns what the predictor returns there.

    Args:
      predictor: Solver that moves from level to level, e.g. `reverse_diffusion()`, `ddim()`.
      corrector: Solver that stays at its level, e.g. `langevin()`, `ald()`.

    Raises:
      ValueError: in `plan`, for a solver that does not take one step from time to time, `pndm`.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver = samplers.predictor_corrector(samplers.ddim(), samplers.langevin())
      >>> times = samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      20
    """

    def init(x):
        return corrector.init(x), predictor.init(x)

    def plan(schedule, times):
        rows = corrector.plan(schedule, times), predictor.plan(schedule, times)
        for name, part in zip(("corrector", "predictor"), rows):
            steps = len(jax.tree.leaves(part)[0])
            if steps != len(times) - 1:
                raise ValueError(
                    f"the {name} of predictor_corrector must take one step from each time to the next, "
                    f"but it makes {steps} of {len(times) - 1}"
                )
        return rows

    def then(advance):
        def step(noise, denoise, x, rows, cond, state):
            x, first = corrector.step(noise, denoise, x, rows[0], cond, state[0])
            later = lambda d: noise(corrector.draws + d)
            x, second = advance(later, denoise, x, rows[1], cond, state[1])
            return x, (first, second)

        return step

    return Solver(
        init, plan, then(predictor.step), nfe=corrector.nfe + predictor.nfe,
        draws=corrector.draws + predictor.draws, last=predictor.last and then(predictor.last),
        last_nfe=corrector.nfe + predictor.last_nfe,
    )  # fmt: skip
