"""UniPC: a predictor-corrector of one network call a step."""

import math
import operator
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand, neighbours
from diffjax.samplers.dpm import exponential
from diffjax.samplers.solver import Solver, one_value, require_signal

_KINDS = {"x0": exponential.data_prediction, "eps": exponential.noise_prediction}


class _Row(NamedTuple):
    level: NoiseLevel
    keep: Array  # corrector: of the predicted x; 1 where there is no corrector, else 0
    back: Array  # corrector: of the corrected x of the step before
    corrected: tuple  # corrector: of the outputs, newest first
    x: Array  # predictor
    outputs: tuple  # predictor: of the outputs, newest first


@one_value
def unipc(
    order: int = 2,
    variant: Literal["bh1", "bh2"] = "bh2",
    kind: Literal["x0", "eps"] = "x0",
    lower_order_final: bool | Literal["few"] = "few",
    disable_corrector: tuple[int, ...] = (),
) -> Solver:
    """Correct x_t with the output just made at it, then predict x_s (Zhao et al. 2023, Alg. 1 and 2).

    From x_t to x_s, with h the step of lambda = log(alpha / sigma), z = -h (x_0) or h (eps), and r_k the
    earlier points in units of h,

        x_s = [first-order step] + scale B(h) sum_k rho_k (m_k - m_0) / r_k,    R rho = b,
        R_jk = r_k^{j-1},  b_j = z phi_{j+1}(z) j! / B,  B = z (bh1) or e^z - 1 (bh2).

    The predictor UniP-p uses p outputs and has order p (order 2: rho = 1/2), the corrector UniC-p uses also
    that at x_s and has order p + 1 (p = 1: rho = 1/2); so the whole has order p + 1 where grids are fine and
    p is kept. The last point is not corrected. Arrival at sigma = 0 is a predictor of order 1: it returns the
    predicted x_0. One network call a step.

    Args:
      order: p, 1, 2 or 3.
      variant: B, "bh1" or "bh2"; "bh1" for few unguided steps.
      kind: "x0" or "eps", what is interpolated. Guidance wants "x0".
      lower_order_final: lower the order to the number of steps left, so that the last one is of order 1: True
        always (diffusers; it costs the order on fine grids), "few" on grids of fewer than 15 steps, or False.
      disable_corrector: steps, 0 for the first, after which the corrector rests (guidance at few steps).

    Raises:
      ValueError: for another order; in `plan`, for a grid that starts at sigma = 0, has
        fewer steps than the order, or with "eps" touches alpha = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.unipc(3), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      10
    """
    exponential.check("unipc", order, 3)
    read = operator.attrgetter(kind)
    rests = frozenset(disable_corrector)

    def plan(schedule, times):
        levels = schedule(times)
        lam = exponential.half_log_snr(levels, "unipc")
        if kind == "eps":
            require_signal(levels, "unipc")
        steps = len(lam) - 1
        exponential.require_steps("unipc", order, steps)
        p = exponential.orders(lam, order)
        if lower_order_final is True or (lower_order_final == "few" and steps < exponential.FEW_STEPS):
            p = np.minimum(p, np.arange(steps, 0, -1))
        target, current = neighbours(levels)
        c = _KINDS[kind](current, target)
        predictor, corrector = np.zeros((steps, order)), np.zeros((steps + 1, order + 1))
        corrects = np.zeros(steps + 1, bool)
        for i in range(steps):
            h = lam[i + 1] - lam[i]
            if not np.isfinite(h):
                predictor[i, 0] = c.c1[i]
                continue
            ratios = (lam[i - np.arange(1, p[i])] - lam[i]) / h
            z = -h if kind == "x0" else h
            scale = c.c1[i] / np.expm1(z)  # -alpha_s or -sigma_s
            predictor[i, : p[i]] = _weights(ratios, z, variant, scale, c.c1[i])
            corrects[i + 1] = i not in rests
            corrector[i + 1, : p[i] + 1] = _weights(np.append(1.0, ratios), z, variant, scale, c.c1[i])
        back = np.concatenate([[0.0], c.x])
        return _Row(
            current,
            (~corrects[:-1]).astype(np.float64),
            (back * corrects)[:-1],
            tuple((corrector * corrects[:, None])[:-1].T),
            c.x,
            tuple(predictor.T),
        )

    def init(x):
        return x, (jnp.zeros_like(x),) * order

    def step(noise, denoise, x, row, cond, state):
        before, past = state
        outputs = (read(denoise(x, row.level, cond)), *past)
        corrected = expand(row.keep, x) * x + expand(row.back, x) * before + _sum(row.corrected, outputs, x)
        x = expand(row.x, x) * corrected + _sum(row.outputs, outputs[:order], x)
        return x, (corrected, outputs[:order])

    return Solver(init, plan, step, nfe=1, draws=0)


def _sum(weights, outputs, x):
    return sum(expand(w, x) * m for w, m in zip(weights, outputs, strict=True))


def _weights(ratios, z, variant, scale, c1):
    """Return the weights of m_0 and of the others, in the order of the corrector: new point, m_0, past ones.

    Args:
      ratios: `[K]` places of the outputs other than m_0, in steps from it; 1 first if the new point is one.
      z: -h or h.
      variant: see `unipc`.
      scale: of B(h) and of e^z - 1.
      c1: weight of m_0 in the first-order step.
    """
    count = len(ratios)
    if count == 0:
        return np.array([c1])
    b = np.expm1(z) if variant == "bh2" else z
    j = np.arange(count)
    right = np.array([z * exponential.phi(k + 2, z) * math.factorial(k + 1) for k in range(count)]) / b
    new_point = ratios[0] == 1
    # one unknown: any value keeps the order, and the authors take this one
    rho = np.array([0.5]) if count == 1 else np.linalg.solve(ratios[None, :] ** j[:, None], right)
    others = scale * b * rho / ratios
    first = c1 - others.sum()
    return np.array([others[0], first, *others[1:]]) if new_point else np.array([first, *others])
