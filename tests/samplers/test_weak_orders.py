"""Weak orders of the solvers that draw noise: from exact variances, and from whole densities of a mixture.

Gaussian data: a walk is linear in the start and in every draw, so that a batch with one of these 1 and the
others 0 in each sample gives its variance without chance. A mixture: a solver without memory makes a Markov
chain in one dimension, whose density is carried from grid to grid; multistep solvers have memory, and only
the first check.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solver_list

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.samplers import listing
from diffjax.samplers.entry import TOLERANCE

KEY = jax.random.key(0)
EDM, VP, FLOW = schedules.edm(), schedules.vp_linear(), schedules.rectified_flow()
GRIDS = {
    "edm": (EDM, lambda n: samplers.grids.karras(n + 1, 0.05, 20.0)[:-1]),
    "vp": (VP, lambda n: samplers.grids.quadratic(n, 0.01, 1.0)),
    "flow": (FLOW, lambda n: samplers.grids.uniform(n, 0.05, 0.95)),
}
ORDERS = {
    order.call.text(entry.make): (order.call.of(entry.make), order)
    for entry in listing.SOLVERS.values()
    for order in entry.noisy_orders
}


def _gaussian(x, level, cond=None):
    """The exact denoiser of N(0, 0.4)."""
    shrink = x / (0.4 * level.alpha**2 + level.sigma**2)
    return prediction.Prediction(0.4 * level.alpha * shrink, level.sigma * shrink)


def _variance_error(solver, schedule, times):
    sources = (len(times) - 1) * solver.draws
    start, end = (float(0.4 * a**2 + s**2) for a, s in (schedule(times[i])[1:3] for i in (0, -1)))
    x = jnp.zeros((1 + sources, 1)).at[0].set(np.sqrt(start))
    noise = np.eye(1 + sources)[1:].reshape(len(times) - 1, solver.draws, 1 + sources, 1)
    x = samplers.sample(KEY, _gaussian, schedule, solver, times, x_init=x, noise=noise)
    return float((x**2).sum()) / end - 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", [name for name, (_, order) in ORDERS.items() if order.variance])
def test_order_of_the_variance(x64, name, grid):
    (solver, order), (schedule, times) = ORDERS[name], GRIDS[grid]
    errors = [_variance_error(solver, schedule, times(n)) for n in (128, 256)]
    assert abs(errors[1]) < 0.03
    if grid not in order.not_yet:
        assert abs(np.log2(errors[0] / errors[1]) - order.variance) < TOLERANCE, errors


# --- the density of a mixture ----------------------------------------------------------------------

POINTS, REACH = 600, 6.0
START = 1.3  # of the fixed start, in units of sigma


def _normal(x, variance):
    return np.exp(-0.5 * x**2 / variance) / np.sqrt(2 * np.pi * variance)


def _marginal(x, level):
    """p(x_t) of the mixture of `solver_list`."""
    v = level.alpha**2 * solver_list.VARIANCES + level.sigma**2
    return sum(
        w * _normal(x - level.alpha * m, c) for w, m, c in zip(solver_list.WEIGHTS, solver_list.MEANS, v)
    )


def _posterior(x, level, x_t, top):
    """p(x_s | x_t), to which the reverse SDE carries a fixed start: the mixture's own, by Bayes."""
    a, marginal = top.alpha / level.alpha, level.alpha**2 * solver_list.VARIANCES + level.sigma**2
    spread = top.sigma**2 - a**2 * level.sigma**2
    total, rest = a**2 * marginal + spread, x_t - top.alpha * solver_list.MEANS
    weights = solver_list.WEIGHTS * _normal(rest, total)
    means = level.alpha * solver_list.MEANS + marginal * a / total * rest
    parts = [w * _normal(x - m, c) for w, m, c in zip(weights, means, marginal * spread / total)]
    return sum(parts) / weights.sum()


def _density_error(solver, schedule, times, fixed):
    """L1 distance between the solver's density at the last time and the exact one."""
    levels, steps = schedule(times), samplers.plan(schedule, solver, times).steps
    width = REACH * np.sqrt(1.2 * levels.alpha**2 + levels.sigma**2)
    draws = np.zeros(1), np.ones(1)
    if solver.draws == 2:  # the first bends with x: an expectation of its own
        draws = np.polynomial.hermite_e.hermegauss(3)

    @jax.jit
    def step(x, row, noise):
        draw = lambda d: noise[d] * jnp.ones_like(x)
        return solver.step(draw, solver_list.denoise, x, row, None, solver.init(x))[0]

    x = np.linspace(-width[0], width[0], POINTS)
    mass = _marginal(x, schedule(times[0])) * (x[1] - x[0])
    if fixed:
        x, mass = np.array([START * levels.sigma[0]]), np.ones(1)
    for i, reach in enumerate(width[1:]):
        row = jax.tree.map(lambda field, i=i: field[i], steps)
        y, density = np.linspace(-reach, reach, POINTS), 0.0
        for z, weight in zip(*draws):
            still, moved = (np.asarray(step(x, row, np.array([z, e][-solver.draws :]))) for e in (0.0, 1.0))
            std = (moved - still)[0]  # the last draw is added at the end, the same to every x
            density = density + weight / draws[1].sum() * _normal(y[:, None] - still, std**2) @ mass
        x, mass = y, density * (y[1] - y[0])
    assert abs(mass.sum() - 1) < 1e-5
    end, top = schedule(times[-1]), schedule(times[0])
    exact = _posterior(x, end, START * top.sigma, top) if fixed else _marginal(x, end)
    return np.abs(mass - exact * (x[1] - x[0])).sum()


# from one x_T or from its exact law
DENSITIES = {
    f"{name} {start}": (solver, start == "fixed", getattr(order, start))
    for name, (solver, order) in ORDERS.items()
    for start in ("fixed", "marginal")
    if getattr(order, start)
}


# the variance's order is daily for all of them
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if solver.nfe == 2 else [])
    for name, (solver, *_) in DENSITIES.items()
])  # fmt: skip
def test_order_of_the_density(x64, name):
    solver, fixed, order = DENSITIES[name]
    counts = (96, 192) if fixed and solver.nfe == 2 and solver.draws == 1 else (48, 96)
    levels = lambda n: VP.inv_sigma(samplers.grids.karras(n + 1, 0.1, 20.0)[:-1])
    errors = [_density_error(solver, VP, levels(n), fixed) for n in counts]
    assert errors[1] < 0.04
    assert abs(np.log2(errors[0] / errors[1]) - order) < TOLERANCE, errors
