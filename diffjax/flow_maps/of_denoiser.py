"""The flow map of a denoiser: a solver's steps from one level to another."""

import jax
import numpy as np

from diffjax import samplers
from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import NoiseLevel, Schedule, namespace
from diffjax.process.prediction import Denoiser
from diffjax.samplers import Rows, Solver, asking
from diffjax.samplers.solver import last_apart


@checked
def of_denoiser(
    denoise: Denoiser, solver: Solver | None = None, schedule: Schedule | None = None, steps: int = 1
) -> FlowMap:
    """Make the flow map that a solver finds in a number of steps: exact as steps grow, at the solver's order.

    The levels may be traced, one for each sample. Then `ddim`, `edm_euler`, `edm_heun`, `euler` and `heun`
    walk; other solvers plan on the host alone. Where they are, sigma_s = 0 cannot be seen: ask `ddim` or
    `edm_euler` there.

    Args:
      denoise: Denoiser.
      solver: draws no noise; default `ddim()`. One step of it is a progressively distilled student's map.
      schedule: that the levels are of; needed for levels between, of several steps or of the solver.
      steps: equal ones in time.

    Raises:
      ValueError: for a solver that draws noise, or levels between without a schedule.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, flow_maps
      >>> from diffjax.process import schedules
      >>> point, edm = exact.gaussian_mixture([1.0], [[0.5]], [0.0]), schedules.edm()
      >>> flow_maps.of_denoiser(point.denoiser())(jnp.ones((1, 1)), edm(4.0), edm(0.0)).tolist()
      [[0.5]]
    """
    solver, steps = samplers.ddim() if solver is None else solver, checks.count("steps", steps)
    if solver.asked is not asking.predictions:
        raise ValueError("solver must walk a denoiser, e.g. `samplers.ddim()`; this one walks a flow map")
    if solver.draws:
        raise ValueError("solver must draw no noise: a flow map is a function of x_t, e.g. `samplers.ddim()`")
    if steps > 1 and schedule is None:
        raise ValueError(f"schedule must be given: {steps} steps need levels between")

    def flow_map(x_t, level_t, level_s, cond=None):
        xp = namespace(level_t.alpha, level_s.alpha)
        ends = _stacked(xp, level_t, level_s)
        share = np.arange(steps + 1).reshape(-1, *[1] * (ends.t.ndim - 1)) / steps
        times = ends.t[:1] + (ends.t[1:] - ends.t[:1]) * share
        rows = solver.plan(_Ends(ends) if schedule is None else schedule, times)
        if solver.last is not None and xp is np and (np.asarray(level_s.sigma) == 0).all():
            rows = last_apart(rows)
        else:
            rows = Rows(rows)
        return samplers.walk(jax.random.key(0), denoise, solver, rows, x_t, cond)

    return flow_map


class _Ends:
    """Stands for a schedule of two levels; of what lies between or beyond it knows nothing."""

    num_steps = None
    prior_std = float("nan")

    def __init__(self, levels):
        self._levels = levels
        self.t_min, self.t_max = levels.t.min(), levels.t.max()

    def __call__(self, times):
        if np.shape(times) != np.shape(self._levels.t):
            self._unknown()
        return self._levels

    def _unknown(self, *_):
        raise ValueError("schedule must be given: this solver needs levels between")

    inv_sigma = inv_log_snr = at_ratio = continuous = step_before = draw = spread = _unknown


def _stacked(xp, *levels):
    """Return the levels along a new first axis."""
    fields = zip(*levels)
    return NoiseLevel(
        *(None if any(f is None for f in each) else xp.stack(xp.broadcast_arrays(*each)) for each in fields)
    )
