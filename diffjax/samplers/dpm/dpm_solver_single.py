"""DPM-Solver and DPM-Solver++, singlestep: inner points of a step are points of the grid."""

import operator
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.dpm import exponential
from diffjax.samplers.multistep import linear
from diffjax.samplers.solver import Solver, one_value, require_signal

SingleType = Literal["midpoint", "heun", "dpm_solver"]


class _Row(NamedTuple):
    level: NoiseLevel
    fresh: Array  # 1 where a new step begins: x itself becomes the anchor
    anchor: Array
    outputs: tuple  # newest first


@one_value
def dpm_solver_pp_single(
    order: int = 2, solver_type: SingleType = "midpoint", lower_order_final: bool = True
) -> Solver:
    """Step by DPM-Solver++ 2S and 3S (Lu et al. 2022, Alg. 1): intervals form groups of `order`.

    A group starts from its first point, the anchor: its k-th interval is the step from the anchor to the end
    of that interval, of order k, with the x_0 predicted at the points between. So N intervals are N network
    calls and N / order whole steps, of order `order` each; the points between are the grid's own, in the
    middle (in lambda) if the grid comes from `grids.subdivide`. Without memory from one group to the next, it
    takes changes of the denoiser better than multistep. Arrival at sigma = 0 is a step of order 1: it returns
    the predicted x_0.

    Args:
      order: 1, 2 or 3.
      solver_type: "midpoint" or "heun", as diffusers has them; "dpm_solver" as in the papers: "midpoint", but
        with the inner step of order 2 of a group of 3 as in "heun".
      lower_order_final: any number of intervals will do: those left over are a group of a lower order, and
        where none are left over, the last one is of order 1, in a group of its own.

    Raises:
      ValueError: for another order; in `plan`, for a grid that starts at sigma = 0, touches
        alpha = 0, has fewer intervals than the order, or whose intervals do not divide into groups
        (lower_order_final=False).

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver_pp_single(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    return _single("dpm_solver_pp_single", order, solver_type, lower_order_final, "x0")


@one_value
def dpm_solver_single(
    order: int = 2, solver_type: SingleType = "midpoint", lower_order_final: bool = True
) -> Solver:
    """Step by DPM-Solver-2 and -3 (Lu et al. 2022, Alg. 1 and 2): `dpm_solver_pp_single` for eps, not x_0.

    With solver_type="dpm_solver" on `grids.subdivide(..., [3, 3, ..., 2, 1])` it is DPM-Solver-fast.
    Arguments and errors as there.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver_single(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    return _single("dpm_solver_single", order, solver_type, lower_order_final, "eps")


def _single(name, order, solver_type, lower_order_final, kind):
    exponential.check(name, order, 3)
    read = operator.attrgetter(kind)
    coefficients = exponential.data_prediction if kind == "x0" else exponential.noise_prediction

    def plan(schedule, times):
        levels = schedule(times)
        lam = exponential.half_log_snr(levels, name)
        require_signal(levels, name)
        exponential.require_steps(name, order, len(lam) - 1)
        p = _orders(name, len(lam) - 1, order, lower_order_final)
        if not np.isfinite(lam[-1]):
            p[-1] = 1
        here = np.arange(len(p))
        base = here + 1 - p
        c = coefficients(part(levels, base), part(levels, here + 1))
        inner = np.append(p[1:] == 3, False)  # of order 2, on the way to order 3
        weights = _weights(lam, p, base, c, solver_type, inner)[:order]
        return _Row(part(levels, slice(-1)), (p == 1).astype(np.float64), c.x, weights)

    def init(x):
        return x, (jnp.zeros_like(x),) * (order - 1)

    def step(noise, denoise, x, row, cond, state):
        anchor, past = state
        outputs = (read(denoise(x, row.level, cond)), *past)
        anchor = jnp.where(expand(row.fresh, x) > 0, x, anchor)
        x = linear.plus(expand(row.anchor, x) * anchor, row.outputs, outputs)
        return x, (anchor, outputs[: order - 1])

    return Solver(init, plan, step, nfe=1, draws=0)


def _orders(name, steps, order, lower_order_final):
    """Return the place of every interval in its group, 1..order; the last group may be of fewer."""
    if not lower_order_final:
        if steps % order:
            raise ValueError(
                f"{name}: order {order} needs a multiple of {order} intervals, got {steps} "
                "(lower_order_final=True takes any number)"
            )
        return np.tile(np.arange(1, order + 1), steps // order)
    whole = np.arange(steps) % order + 1
    if steps % order == 0:
        whole[-1] = 1
    return whole


def _weights(lam, p, base, c, solver_type, inner):
    """Return three weights `[N]`, newest output first, from differences with the anchor's output."""
    here = np.arange(len(p))
    h = np.where(np.isfinite(lam[1:]), lam[1:], 0.0) - lam[base]
    with np.errstate(divide="ignore", invalid="ignore"):
        r0, r1 = (lam[here] - lam[base]) / h, (lam[np.maximum(here - 1, 0)] - lam[base]) / h
    r0, r1 = np.where(p > 1, r0, 1.0), np.where(p > 2, r1, 2.0)
    halved = (p == 2) & ((solver_type == "midpoint") | ((solver_type == "dpm_solver") & ~inner))
    slope = np.where(p > 1, np.where(halved, 0.5 * c.c1, c.c2), 0.0)
    # order 3, "heun": c_2 h m' + c_3 h^2 m'' from both differences; else the newest stands for the slope
    both = (p == 3) & (solver_type == "heun")
    newest = np.where(both, (2 * c.c3 - r1 * c.c2) / (r0 - r1), slope) / r0
    middle = np.where(both, (r0 * c.c2 - 2 * c.c3) / (r0 - r1), 0.0) / r1
    anchors = c.c1 - newest - middle
    zero = np.zeros_like(anchors)
    return (
        np.choose(p - 1, [c.c1, newest, newest]),
        np.choose(p - 1, [zero, anchors, middle]),
        np.choose(p - 1, [zero, zero, anchors]),
    )
