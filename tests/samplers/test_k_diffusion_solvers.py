"""Solvers against k-diffusion's, on its Karras grid and with its own noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)
MAKE = {
    "euler": lambda s_tmin=0.0, s_tmax=np.inf, **o: samplers.edm_euler(s_min=s_tmin, s_max=s_tmax, **o),
    "heun": lambda s_tmin=0.0, s_tmax=np.inf, **o: samplers.edm_heun(s_min=s_tmin, s_max=s_tmax, **o),
    "dpm_2": lambda s_tmin=0.0, s_tmax=np.inf, **o: samplers.dpm_2(s_min=s_tmin, s_max=s_tmax, **o),
    "dpm_2_ancestral": samplers.dpm_2_ancestral,
    "lms": samplers.lms,
    "euler_ancestral": samplers.euler_ancestral,
    "dpmpp_2m": samplers.dpm_solver_pp,
    "dpmpp_2m_sde": lambda eta, solver_type: samplers.dpm_solver_pp(2, solver_type, eta),
    "dpmpp_2s_ancestral": samplers.dpm_solver_pp_2s,
    "dpmpp_sde": samplers.dpm_solver_pp_sde,
}


def _denoise(golden, s2):
    """k-diffusion's exact denoiser of two equal Gaussians at +mu and -mu."""
    mu = jnp.asarray(golden["mu"])

    def denoise(x, level, cond):
        v, total = level.sigma**2, s2 + level.sigma**2
        return prediction.from_x0((s2 * x + v * mu * jnp.tanh(x * mu / total)) / total, x, level)

    return denoise


@pytest.mark.parametrize("run", range(10))
def test_runs(x64, run):
    golden, hyper = reference.load("kdiff_samplers")
    name, sampler, options = hyper["runs"][run]
    solver = MAKE[sampler](**options)
    noise, sigmas = golden.get(f"{name}__noise"), golden["sigmas"]
    if noise is not None:
        noise = noise.reshape(-1, solver.draws, *golden["x_init"].shape)
        rest = np.zeros((len(sigmas) - 1 - len(noise), *noise.shape[1:]))  # no draws for the last step
        noise = np.concatenate([noise, rest])
    ours, path = samplers.sample(
        KEY, _denoise(golden, hyper["s2"]), schedules.edm(), solver, sigmas,
        x_init=jnp.asarray(golden["x_init"]), noise=noise, trajectory=True,
    )  # fmt: skip
    np.testing.assert_allclose(ours, golden[f"{name}__out"], rtol=1e-7, atol=1e-9)
    if not options.get("s_churn"):  # theirs is recorded after the churn
        np.testing.assert_allclose(path[:-1], golden[f"{name}__x_traj"][1:], rtol=1e-7, atol=1e-9)


def test_dpm_solver_fast(x64):
    """12 calls are groups of 3, 3, 3, 2 and 1, whose ends are equally spaced in log sigma."""
    golden, hyper = reference.load("kdiff_samplers")
    schedule = schedules.edm()
    ends = samplers.grids.log_snr(5, schedule, hyper["sigma_min"], hyper["sigma_max"])
    times = samplers.grids.subdivide(ends, schedule, [3, 3, 3, 2, 1])
    ours = samplers.sample(
        KEY, _denoise(golden, hyper["s2"]), schedule, samplers.dpm_solver_single(3, "dpm_solver"), times,
        x_init=jnp.asarray(golden["x_init"]),
    )  # fmt: skip
    np.testing.assert_allclose(ours, golden["dpm_fast_n12__out"], rtol=1e-7, atol=1e-9)


def _dpm_fast(x, eps, start, end, calls):
    """k-diffusion's DPM-Solver-fast (Lu et al. 2022, Alg. 1 and 2, app. D.2), t = -log sigma, in numpy."""
    left = calls % 3
    groups = [3] * (calls // 3 - 1) + [2, 1] if left == 0 else [3] * (calls // 3) + [left]
    ends = np.linspace(start, end, len(groups) + 1)
    for order, t, s in zip(groups, ends, ends[1:]):
        h, first = s - t, eps(x, t)
        whole = np.exp(-s) * np.expm1(h)
        if order == 1:
            x = x - whole * first
        elif order == 2:
            middle = x - np.exp(-(t + h / 2)) * np.expm1(h / 2) * first
            x = x - whole * first - whole * (eps(middle, t + h / 2) - first)
        else:
            a, b = t + h / 3, t + 2 * h / 3
            change = eps(x - np.exp(-a) * np.expm1(h / 3) * first, a) - first
            bend = np.exp(-b) * 2 * (np.expm1(2 * h / 3) / (2 * h / 3) - 1) * change
            second = eps(x - np.exp(-b) * np.expm1(2 * h / 3) * first - bend, b)
            x = x - whole * first - np.exp(-s) * 1.5 * (np.expm1(h) / h - 1) * (second - first)
    return x


@pytest.mark.parametrize("calls", [9, 10, 11, 12, 20])
def test_dpm_solver_fast_of_any_number_of_calls(x64, calls):
    """The groups are 3, 3, ..., and a last one of the rest; 2 and 1 where there is none."""
    schedule, s2 = schedules.edm(), 0.3
    mu = np.array([0.8, -0.5])

    def x0(xp, x, sigma):
        total = s2 + sigma**2
        return (s2 * x + sigma**2 * mu * xp.tanh(x * mu / total)) / total

    left = calls % 3
    groups = [3] * (calls // 3 - 1) + [2, 1] if left == 0 else [3] * (calls // 3) + [left]
    ends = samplers.grids.log_snr(len(groups), schedule, 0.1, 10.0)
    times = samplers.grids.subdivide(ends, schedule, groups)
    assert len(times) == calls + 1
    x = 10 * np.random.default_rng(0).normal(size=(5, 2))
    denoise = lambda x, level, cond: prediction.from_x0(x0(jnp, x, level.sigma), x, level)
    solver = samplers.dpm_solver_single(3, "dpm_solver")
    ours = samplers.sample(KEY, denoise, schedule, solver, times, x_init=jnp.asarray(x))
    eps = lambda x, t: (x - x0(np, x, np.exp(-t))) / np.exp(-t)
    theirs = _dpm_fast(x, eps, -np.log(10.0), -np.log(0.1), calls)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_dpm_solver_pp_3m_sde(x64, eta):
    """k-diffusion's `dpmpp_3m_sde` on 9 levels and data, in numpy: order 3 up to the end."""
    schedule, sigmas = schedules.edm(), samplers.grids.karras(9, 0.1, 10.0)
    rng = np.random.default_rng(0)
    x, noise = 10 * rng.normal(size=(5, 2)), rng.normal(size=(9, 1, 5, 2))
    x0 = lambda xp, x, sigma: xp.tanh(x / (0.3 + sigma**2))
    denoise = lambda x, level, cond: prediction.from_x0(x0(jnp, x, level.sigma), x, level)
    solver = samplers.dpm_solver_pp(3, "heun", eta=eta, lower_order_final=False)
    options = {"noise": noise} if eta else {}
    ours = samplers.sample(KEY, denoise, schedule, solver, sigmas, x_init=jnp.asarray(x), **options)

    past, before = [], []
    for i, (sigma, lower) in enumerate(zip(sigmas, sigmas[1:])):
        m = x0(np, x, sigma)
        if lower == 0:
            x = m
            break
        h = np.log(sigma / lower)
        total = h * (eta + 1)
        x = np.exp(-total) * x - np.expm1(-total) * m
        phi_2 = np.expm1(-total) / total + 1
        if len(past) > 1:
            r0, r1 = before[-1] / h, before[-2] / h
            d0, d1 = (m - past[-1]) / r0, (past[-1] - past[-2]) / r1
            x = x + phi_2 * (d0 + (d0 - d1) * r0 / (r0 + r1)) - (phi_2 / total - 0.5) * (d0 - d1) / (r0 + r1)
        elif past:
            x = x + phi_2 * (m - past[-1]) * h / before[-1]
        x = x + noise[i, 0] * lower * np.sqrt(-np.expm1(-2 * h * eta))
        past.append(m)
        before.append(h)
    np.testing.assert_allclose(ours, x, rtol=1e-9, atol=1e-11)
