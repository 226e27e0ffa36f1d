"""DPM-Solver++ 2S with middles of its own, ancestral or stochastic (k-diffusion's forms)."""

from typing import NamedTuple

import numpy as np

from diffjax.process.level import NoiseLevel, expand, neighbours
from diffjax.samplers.dpm import exponential, renoise
from diffjax.samplers.solver import Solver, no_memory, one_value, require_signal


class _Row(NamedTuple):
    level: NoiseLevel
    middle: NoiseLevel
    to_middle: tuple  # of x, x_0, noise
    to_target: tuple  # of x, x_0, x_0 in the middle, noise


@one_value
def dpm_solver_pp_2s(eta: float = 0.0, s_noise: float = 1.0) -> Solver:
    """Step by DPM-Solver++ 2S (Lu et al. 2022, Alg. 1, r = 1/2), ancestral with eta > 0.

    The step of order 2 goes to the lower level of `renoise.down_and_up`, with the x_0 predicted half way (in
    log SNR), and fresh noise comes on top (k-diffusion's `dpmpp_2s_ancestral`). The middle is the schedule's
    `at_ratio`; a chain rounds it to a step. Two network calls; order 2 for eta = 0. On arrival at sigma = 0
    the step is of order 1 and returns the predicted x_0: N steps that end there are 2 N - 1 calls.

    Args:
      eta: 0 the ODE, 1 ancestral.
      s_noise: scale of the noise.

    Raises:
      ValueError: for a negative eta or s_noise; in `plan`, for a grid that touches alpha = 0
        or starts at sigma = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver_pp_2s(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    renoise.check("dpm_solver_pp_2s", eta, s_noise)

    def plan(schedule, times):
        levels, rho_t, rho_s = _ends("dpm_solver_pp_2s", schedule, times)
        down, up = renoise.down_and_up(rho_t, rho_s, eta)
        middle = schedule.at_ratio(renoise.middle(rho_t, down))
        rho = middle.sigma / middle.alpha
        none = np.zeros_like(rho)
        return _row(
            levels, middle, (rho_t, rho, none), (rho_t, down, np.where(rho_s > 0, 1.0, 0.0), up), s_noise
        )

    return _solver(plan, 1 if eta else 0, middle_noise=None)


@one_value
def dpm_solver_pp_sde(eta: float = 1.0, s_noise: float = 1.0, r: float = 0.5) -> Solver:
    """Step by DPM-Solver++ 2S with noise in both halves (k-diffusion's `dpmpp_sde`).

    Both the step to the middle, the share r of the way in log SNR, and that to the target are ancestral. Two
    network calls and two draws, the first for the middle; order 2 for eta = 0. Arrival at sigma = 0 as in
    `dpm_solver_pp_2s`.

    Args:
      eta: 0 the ODE, 1 ancestral.
      s_noise: scale of the noise.
      r: in (0, 1], place of the middle.

    Raises:
      ValueError: for a negative eta or s_noise, or another r; in `plan`, for a grid that touches alpha = 0
        or starts at sigma = 0.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> solver, times = samplers.dpm_solver_pp_sde(), samplers.grids.karras(10, 0.02, 80.0)
      >>> samplers.network_calls(solver, samplers.plan(schedules.edm(), solver, times))
      19
    """
    renoise.check("dpm_solver_pp_sde", eta, s_noise)
    if not 0 < r <= 1:
        raise ValueError(f"dpm_solver_pp_sde needs r in (0, 1], got {r!r}")

    def plan(schedule, times):
        levels, rho_t, rho_s = _ends("dpm_solver_pp_sde", schedule, times)
        middle = schedule.at_ratio(np.where(rho_s > 0, rho_t ** (1 - r) * rho_s**r, rho_t))
        rho = middle.sigma / middle.alpha
        half = rho_t, *renoise.down_and_up(rho_t, rho, eta)
        down, up = renoise.down_and_up(rho_t, rho_s, eta)
        return _row(levels, middle, half, (rho_t, down, np.where(rho_s > 0, 0.5 / r, 0.0), up), s_noise)

    return _solver(plan, 2 if eta else 0, middle_noise=0)


def _ends(name, schedule, times):
    levels = schedule(times)
    exponential.half_log_snr(levels, name)
    require_signal(levels, name)
    rho = levels.sigma / levels.alpha
    return levels, rho[:-1], rho[1:]


def _row(levels, middle, half, whole, s_noise):
    """Turn steps of rho into coefficients of x: y' = (down / rho) y + (1 - down / rho) x_0 + up z."""
    target, current = neighbours(levels)
    rho, down, up = half
    keep = down / rho
    to_middle = middle.alpha * keep / current.alpha, middle.alpha * (1 - keep), middle.alpha * s_noise * up
    rho, down, share, up = whole
    keep = down / rho
    gain = target.alpha * (1 - keep)
    return _Row(
        current, middle, to_middle,
        (target.alpha * keep / current.alpha, gain * (1 - share), gain * share, target.alpha * s_noise * up),
    )  # fmt: skip


def _solver(plan, draws, middle_noise):
    final = draws - 1  # which draw is the target's

    def step(noise, denoise, x, row, cond, state):
        of_x, of_x0, of_noise = (expand(a, x) for a in row.to_middle)
        x0 = denoise(x, row.level, cond).x0
        between = of_x * x + of_x0 * x0
        if draws and middle_noise is not None:
            between = between + of_noise * noise(middle_noise)
        middle = denoise(between, row.middle, cond).x0
        of_x, of_x0, of_middle, of_noise = (expand(a, x) for a in row.to_target)
        x = of_x * x + of_x0 * x0 + of_middle * middle
        return (x + of_noise * noise(final) if draws else x), state

    def last(noise, denoise, x, row, cond, state):
        of_x, of_x0, _, _ = (expand(a, x) for a in row.to_target)
        return of_x * x + of_x0 * denoise(x, row.level, cond).x0, state

    return Solver(no_memory, plan, step, nfe=2, draws=draws, last=last)
