"""DEIS and LMS: Adams-Bashforth for eps over sigma / alpha, with exact integrals of the extrapolation."""

import operator
from typing import Literal

import numpy as np

from diffjax.process.level import neighbours
from diffjax.samplers.dpm import exponential
from diffjax.samplers.multistep import linear
from diffjax.samplers.solver import Solver, one_value, require_signal

Variable = Literal["t", "rho", "log_rho"]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


@one_value
def deis(order: int = 3, variable: Variable = "t", lower_order_final: bool = True) -> Solver:
    """Extrapolate eps by a polynomial and integrate it exactly (Zhang & Chen 2022, eq. 14 and 15: tAB).

    In y = x / alpha and rho = sigma / alpha the ODE is dy / d rho = eps, so

        y_s = y_t + sum_j C_j eps_j,    C_j = integral from rho_t to rho_s of L_j d rho,

    where L_j are the Lagrange polynomials of the last `order` points, in the schedule's own t, in rho (rhoAB,
    which is `lms`) or in log rho (diffusers' "logrho"). The first steps are of lower order. Arrival at
    sigma = 0 is of order 1, and returns the predicted x_0. One network call a step.

    Args:
      order: 1 (DDIM) to 4; the papers' tAB-k is order k + 1.
      variable: "t", "rho" or "log_rho".
      lower_order_final: on grids of fewer than 15 steps, end with steps of order 2 and 1, as diffusers does.

    Raises:
      ValueError: for another order; in `plan`, for a grid that starts at sigma = 0 (log_rho),
        touches alpha = 0, or has fewer steps than the order.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.deis(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    exponential.check("deis", order, 4)

    def plan(schedule, times):
        lam = 0.5 * schedule(times).log_snr
        p = exponential.orders(lam, order, lower_order_final)
        return _plan("deis", schedule, times, p, order, variable)

    return linear.multistep(plan, order, operator.attrgetter("eps"))


@one_value
def lms(order: int = 4) -> Solver:
    """Step by Adams-Bashforth on uneven steps of rho = sigma / alpha (LMS of k-diffusion and diffusers).

    `deis` in the variable rho, except on arrival at sigma = 0: there too the slope is extrapolated, so that
    it returns the predicted x_0 only in a walk of one step. One network call a step.

    Args:
      order: 1 (Euler in the sigma / alpha plane, DDIM) to 4.

    Raises:
      ValueError: for another order; in `plan`, for a grid that touches alpha = 0, or has fewer steps than the
        order.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.lms(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    exponential.check("lms", order, 4)

    def plan(schedule, times):
        return _plan("lms", schedule, times, np.minimum(order, 1 + np.arange(len(times) - 1)), order, "rho")

    return linear.multistep(plan, order, operator.attrgetter("eps"))


def _plan(name, schedule, times, p, order, variable):
    """Plan steps of the orders p `[N]`."""
    levels = schedule(times)
    require_signal(levels, name)
    exponential.require_steps(name, order, len(p))
    if variable == "log_rho":
        exponential.half_log_snr(levels, name)
    target, current = neighbours(levels)
    rho = levels.sigma / levels.alpha
    weights = np.zeros((len(rho) - 1, order))
    for i, most in enumerate(p):
        weights[i, :most] = _INTEGRALS[variable](schedule, levels, rho, i, most)
    return linear.row(current, target.alpha / current.alpha, target.alpha[:, None] * weights)


def _lagrange(nodes, at):
    """Return the Lagrange polynomials of `nodes` at points, `[len(nodes), len(at)]`."""
    return np.stack(
        [
            np.prod([(at - other) / (node - other) for other in np.delete(nodes, j)], axis=0)
            * np.ones_like(at)
            for j, node in enumerate(nodes)
        ]
    )


def _between(a, b):
    """Return Gauss-Legendre nodes and weights from a to b."""
    return 0.5 * (a + b) + 0.5 * (b - a) * _NODES, 0.5 * (b - a) * _WEIGHTS


def _over_rho(schedule, levels, rho, i, p):
    points, weights = _between(rho[i], rho[i + 1])
    return _lagrange(rho[i - np.arange(p)], points) @ weights


def _over_log_rho(schedule, levels, rho, i, p):
    if p == 1:
        return rho[i + 1] - rho[i]
    points, weights = _between(np.log(rho[i]), np.log(rho[i + 1]))
    return _lagrange(np.log(rho[i - np.arange(p)]), points) @ (weights * np.exp(points))


def _over_t(schedule, levels, rho, i, p):
    """Integrate by parts, int L d rho = [L rho] - int rho dL: it asks for no rates."""
    if p == 1:
        return rho[i + 1] - rho[i]
    nodes, ends = levels.t[i - np.arange(p)], levels.t[i : i + 2]
    points, weights = _between(*ends)
    level = schedule.continuous()(points)
    change = _slope(nodes, points) @ (weights * (level.sigma / level.alpha))
    boundary = _lagrange(nodes, ends) * rho[i : i + 2]
    return boundary[:, 1] - boundary[:, 0] - change


def _slope(nodes, at):
    """Return the derivatives of the Lagrange polynomials at points."""
    value = np.zeros((len(nodes), len(at)))
    for j, node in enumerate(nodes):
        for k in np.delete(np.arange(len(nodes)), j):
            rest = np.delete(nodes, np.array([j, k]))
            value[j] += np.prod([(at - r) / (node - r) for r in rest], axis=0) / (node - nodes[k])
    return value


_INTEGRALS = {"t": _over_t, "rho": _over_rho, "log_rho": _over_log_rho}
