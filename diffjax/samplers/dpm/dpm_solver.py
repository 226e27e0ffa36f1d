"""DPM-Solver, multistep: the noise-prediction form."""

import operator

from diffjax.process.level import neighbours
from diffjax.samplers.dpm import exponential
from diffjax.samplers.dpm.exponential import SolverType
from diffjax.samplers.multistep import linear
from diffjax.samplers.solver import Solver, one_value, require_signal


@one_value
def dpm_solver(
    order: int = 2,
    solver_type: SolverType = "midpoint",
    eta: float = 0.0,
    s_noise: float = 1.0,
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> Solver:
    """Integrate exactly in lambda = log(alpha / sigma) with eps extrapolated from the steps before.

    Lu et al. 2022 (DPM-Solver), multistep, on equation (2) of `exponential`. Order 1 is DDIM. Guided samples
    are steadier with `dpm_solver_pp`. Arrival at sigma = 0, where h is infinite, is a step of order 1 without
    noise: it returns the predicted x_0. One network call a step.

    Args:
      order: 1, 2 or 3; with eta > 0 at most 2.
      solver_type, s_noise, lower_order_final, euler_at_final: see `dpm_solver_pp`.
      eta: share of the noise: 0 the ODE, 1 the reverse SDE (sde-dpmsolver).

    Raises:
      ValueError: for another order, a negative eta or s_noise; in `plan`, for a grid that starts at
        sigma = 0, touches alpha = 0, or has fewer steps than the order.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver(2), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    most = 2 if eta else 3
    exponential.check("dpm_solver", order, most, eta, s_noise)

    def plan(schedule, times):
        levels = schedule(times)
        lam = exponential.half_log_snr(levels, "dpm_solver")
        require_signal(levels, "dpm_solver")
        exponential.require_steps("dpm_solver", order, len(lam) - 1)
        target, current = neighbours(levels)
        c = exponential.noise_prediction(current, target, eta, s_noise)
        p = exponential.orders(lam, order, lower_order_final, euler_at_final)
        weights = exponential.multistep_weights(lam, p, c, solver_type)
        return linear.row(current, c.x, weights[:, :order], c.noise)

    return linear.multistep(plan, order, operator.attrgetter("eps"), draws=1 if eta else 0)
