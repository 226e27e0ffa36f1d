"""DPM-Solver++, multistep, and its stochastic form."""

import operator

from diffjax.process.level import neighbours
from diffjax.samplers.dpm import exponential
from diffjax.samplers.dpm.exponential import SolverType
from diffjax.samplers.multistep import linear
from diffjax.samplers.solver import Solver, one_value


@one_value
def dpm_solver_pp(
    order: int = 2,
    solver_type: SolverType = "midpoint",
    eta: float = 0.0,
    s_noise: float = 1.0,
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> Solver:
    """Integrate exactly in lambda = log(alpha / sigma) with x_0 extrapolated from the steps before.

    Lu et al. 2022, Alg. 2 (2M), on equation (1) of `exponential`: x_s = sigma_s / sigma_t x_t
    - alpha_s (e^{-h} - 1) D with D = (1 + 1 / 2r) x_0 - 1 / 2r x_0', r = h' / h, where x_0' and h' belong to
    the step before. Order 1 is DDIM, order 3 is 3M; with eta = 1 SDE-DPM-Solver++, 2M SDE, 3M SDE. The first
    steps are of lower order, and so is one of infinite h: arrival at sigma = 0 returns the predicted x_0. One
    network call a step.

    Args:
      order: 1, 2 or 3.
      solver_type: how a step of order 2 weighs the difference: "midpoint" (above) or "heun" (phi_2: not
        the method of that name). Order 3
        is as published, with half the second derivative: a smaller error than 2M's but, measured, order 2 in
        the end. "taylor" is "heun" with the whole of it, and order 3.
      eta: share of the noise: 0 the ODE, 1 the reverse SDE.
      s_noise: scale of the noise.
      lower_order_final: on grids of fewer than 15 steps, end with steps of order 2 and 1.
      euler_at_final: end with a step of order 1 on any grid.

    Raises:
      ValueError: for another order, a negative eta or s_noise; in `plan`, for a grid that starts at
        sigma = 0, or has fewer steps than the order.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver_pp(2), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    exponential.check("dpm_solver_pp", order, 3, eta, s_noise)

    def plan(schedule, times):
        levels = schedule(times)
        lam = exponential.half_log_snr(levels, "dpm_solver_pp")
        exponential.require_steps("dpm_solver_pp", order, len(lam) - 1)
        target, current = neighbours(levels)
        c = exponential.data_prediction(current, target, eta, s_noise)
        p = exponential.orders(lam, order, lower_order_final, euler_at_final)
        weights = exponential.multistep_weights(lam, p, c, solver_type)
        return linear.row(current, c.x, weights[:, :order], c.noise)

    return linear.multistep(plan, order, operator.attrgetter("x0"), draws=1 if eta else 0)
