"""What exponential integrators share: phi functions, finished coefficients, orders and weights of steps.

In lambda = log(alpha / sigma) = log SNR / 2, with h the step from t to s, the probability-flow ODE has the
exact solution (Lu et al. 2022: DPM-Solver, eq. 3.4, and DPM-Solver++, eq. 9)

    x_s = sigma_s/sigma_t x_t + alpha_s h [phi_1(-h) x_0 + phi_2(-h) h x_0' + phi_3(-h) h^2 x_0'' + ...]   (1)
    x_s = alpha_s/alpha_t x_t - sigma_s h [phi_1(h) eps + phi_2(h) h eps' + phi_3(h) h^2 eps'' + ...]      (2)

with phi_0 = exp, phi_{k+1}(z) = (phi_k(z) - 1 / k!) / z, and derivatives that differences replace.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from diffjax.process.level import Array, NoiseLevel
from diffjax.samplers.dpm import renoise
from diffjax.samplers.solver import require_signal
from diffjax.types import ArrayLike

SolverType = Literal["midpoint", "heun", "taylor"]
FEW_STEPS = 15  # below, `lower_order_final` applies, as in the reference implementations


class Coefficients(NamedTuple):
    """Finished numbers `[N]`: x_s = x x_t + c_1 m + c_2 (h m') + c_3 (h^2 m'') + noise z."""

    x: Array
    c1: Array
    c2: Array
    c3: Array
    noise: Array


def phi(k: int, z: ArrayLike) -> Array:
    """Return phi_k(z), k >= 1, in float64: a series near 0, where the recursion cancels; 0 at z = -inf."""
    z = np.asarray(z, np.float64)
    near = np.abs(z) < 1
    small = np.where(near, z, 0.0)
    series = sum(small**j / math.factorial(k + j) for j in range(20))
    far = np.where(near, 1.0, z)
    value = np.expm1(far) / far
    for j in range(1, k):
        value = (value - 1 / math.factorial(j)) / far
    return np.where(near, series, value)


def half_log_snr(levels: NoiseLevel, name: str) -> Array:
    """Return lambda over the grid.

    Raises:
      ValueError: for a grid that starts at sigma = 0, or walks up to alpha = 0.
    """
    if levels.sigma[0] == 0:
        raise ValueError(f"{name} cannot start from clean data, where log SNR is infinite")
    if levels.alpha[-1] == 0:
        require_signal(levels, name)
    return 0.5 * levels.log_snr


def data_prediction(
    current: NoiseLevel, target: NoiseLevel, eta: float = 0.0, s_noise: float = 1.0
) -> Coefficients:
    """Return the Coefficients of (1), where m is x_0.

    With eta > 0 the reverse SDE (Lu et al. 2022, eq. 18): h becomes H = (1 + eta) h inside the phi, x_t is
    multiplied by e^{-eta h} and noise of variance sigma_s^2 (1 - e^{-2 eta h}) is added. An infinite h gives
    finite numbers: c_1 = alpha_s at sigma_s = 0.
    """
    h = 0.5 * (target.log_snr - current.log_snr)
    drift = -eta * h if eta else np.zeros_like(h)  # 0 times an infinite h is 0
    finite = np.where(np.isfinite(h), h - drift, 1.0)
    return Coefficients(
        x=target.sigma / current.sigma * np.exp(drift),
        c1=-target.alpha * np.expm1(drift - h),
        c2=target.alpha * finite * phi(2, -finite),
        c3=target.alpha * finite * phi(3, -finite),
        noise=s_noise * target.sigma * np.sqrt(-np.expm1(2 * drift)),
    )


def noise_prediction(
    current: NoiseLevel, target: NoiseLevel, eta: float = 0.0, s_noise: float = 1.0
) -> Coefficients:
    """Return the Coefficients of (2), where m is eps.

    With eta > 0 a reverse SDE: eps counts 1 + eta^2 times, and noise of variance eta^2 sigma_s^2 (e^{2h} - 1)
    is added. At sigma_s = 0, where h is infinite, c_1 gives the predicted x_0 and there is no noise.
    """
    h = 0.5 * (target.log_snr - current.log_snr)
    arrives = ~np.isfinite(h)
    finite = np.where(arrives, 1.0, h)
    scale = target.alpha / current.alpha
    factor = -np.where(arrives, 1.0, 1 + eta**2)
    return Coefficients(
        x=scale,
        # sigma_s e^h = scale sigma_t, also at sigma_s = 0
        c1=factor * np.where(arrives, scale * current.sigma, target.sigma * np.expm1(finite)),
        c2=factor * target.sigma * finite * phi(2, finite),
        c3=factor * target.sigma * finite * phi(3, finite),
        noise=eta * s_noise * target.sigma * np.sqrt(np.expm1(2 * finite)) if eta else np.zeros_like(h),
    )


def require_steps(name: str, order: int, steps: int) -> None:
    """Raise ValueError for a grid of fewer steps than the order: no step of it would have that order."""
    if steps < order:
        raise ValueError(f"{name}: order {order} needs a grid of at least {order} steps, got {steps}")


def orders(lam: Array, order: int, lower_order_final: bool = False, euler_at_final: bool = False) -> Array:
    """Return the order of every step, `[N]` ints: warm-up, 1 where lambda is infinite.

    Args:
      lam: `[N + 1]` lambda.
      order: highest.
      lower_order_final: on grids of fewer than 15 steps the last step is of order 1 and the one before it of
        order 2 at the most (Lu et al. 2022).
      euler_at_final: the last step is of order 1 on any grid.
    """
    steps = len(lam) - 1
    before = np.arange(steps) - (0 if np.isfinite(lam[0]) else 1)
    p = np.minimum(order, 1 + np.maximum(before, 0))
    if lower_order_final and steps < FEW_STEPS:
        p[-2:-1] = np.minimum(p[-2:-1], 2)
        p[-1] = 1
    if euler_at_final:
        p[-1] = 1
    return np.where(np.isfinite(np.diff(lam)), p, 1)


def multistep_weights(lam: Array, p: Array, c: Coefficients, solver_type: SolverType) -> Array:
    """Return the weights `[N, 3]` of the outputs m_0 (newest), m_1, m_2: differences replace the derivatives.

    Order 2: h m' = D_1 = (m_0 - m_1) / r0. Order 3: h m' = D_1 + r0 D_2 and h^2 m'' = D_2 (twice that for
    "taylor"), with D_2 = ((m_0 - m_1) / r0 - (m_1 - m_2) / r1) / (r0 + r1).

    Args:
      lam: `[N + 1]` lambda.
      p: `[N]` orders.
      c: Coefficients.
      solver_type: "midpoint" has c_1 / 2 for c_2 in the steps of order 2.
    """
    h = np.diff(lam)
    before = np.concatenate([[np.inf, np.inf], h])
    with np.errstate(invalid="ignore", divide="ignore"):
        r0, r1 = before[1:-1] / h, before[:-2] / h
    r0, r1 = (np.where(np.isfinite(r) & (r != 0), r, 1.0) for r in (r0, r1))
    c2 = np.where((p == 2) & (solver_type == "midpoint"), 0.5 * c.c1, c.c2)
    first = np.where(p > 1, c2, 0.0)
    curvature = 2 * c.c3 if solver_type == "taylor" else c.c3
    second = np.where(p > 2, (r0 * c2 + curvature) / (r0 + r1), 0.0)
    return np.stack(
        [c.c1 + (first + second) / r0, -(first + second) / r0 - second / r1, second / r1], axis=-1
    )


def check(name: str, order: int, most: int, eta: float = 0.0, s_noise: float = 1.0) -> None:
    """Raise ValueError for an order, eta or s_noise that a solver does not have."""
    if order not in range(1, most + 1):
        raise ValueError(f"{name}: order must be in 1..{most}{' with eta > 0' * (eta > 0)}, got {order!r}")
    renoise.check(name, eta, s_noise)
