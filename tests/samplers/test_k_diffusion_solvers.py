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
