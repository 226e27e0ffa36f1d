"""Multistep and sigma-based solvers against diffusers, on its own time steps and with its own noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)
KINDS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


def _last_axis(a):
    return np.moveaxis(a, -3, -1)


def _case(file, case):
    golden, hyper = reference.load(file)
    return golden, hyper, next(c for c in hyper["cases"] if c["case"] == case)["config"]


def _chain(config):
    make = {
        "linear": schedules.linear_beta,
        "scaled_linear": schedules.scaled_linear,
        "squaredcos_cap_v2": schedules.cosine_beta,
    }[config["beta_schedule"]]
    return make(1000, *(config[key] for key in ("beta_start", "beta_end") if key in config))


def _walk(golden, case, denoise, schedule, solver, times, x):
    """Return our path `[N, ...]` beside diffusers' samples after every network call."""
    noise = golden.get(f"{case}__noise")
    noise = None if noise is None else _last_axis(noise)[:, None]
    return samplers.sample(
        KEY, denoise, schedule, solver, times, x_init=jnp.asarray(x), noise=noise, trajectory=True
    )[1]


def _end(config):
    """Where diffusers' variance-preserving multistep schedulers arrive: on data, or on the first step."""
    return 1 if config.get("final_sigmas_type") == "sigma_min" else 0


DPM = {
    "pp_o1": samplers.dpm_solver_pp(1),
    "pp_o2": samplers.dpm_solver_pp(),
    "pp_o3": samplers.dpm_solver_pp(3),
    "pp_o2_heun": samplers.dpm_solver_pp(2, "heun"),
    "sde_pp_o2": samplers.dpm_solver_pp(2, eta=1.0),
    "o2": samplers.dpm_solver(2),
    "single_o2": samplers.dpm_solver_pp_single(2),
}


@pytest.mark.parametrize("case", DPM)
def test_dpm_solvers(x64, case):
    golden, hyper, config = _case("diffusers_dpmsolver", case)
    chain = _chain(config)
    denoise = reference.fake_denoiser(hyper, "eps", "", chain)
    times = np.append(golden[f"{case}__timesteps"] + 1, _end(config))
    path = _last_axis(golden[f"{case}__traj"])
    ours = _walk(golden, case, denoise, chain, DPM[case], times, path[0])
    np.testing.assert_allclose(ours, path[1:], rtol=1e-3 if case == "pp_o3" else 1e-4, atol=1e-5)


def test_dpm_solver_on_karras_levels(x64):
    """The levels lie between the steps of the chain; the network is told the nearest step."""
    golden, hyper, config = _case("diffusers_dpmsolver", "pp_o2_karras")
    schedule = _chain(config).continuous()
    network = reference.fake_network(hyper)
    denoise = prediction.denoiser(lambda x, n, cond: network(x, jnp.rint(n)), "eps")
    ends = schedule(np.array([1.0, 1000.0]))
    levels = samplers.grids.karras(10, *(ends.sigma / ends.alpha))
    np.testing.assert_allclose(levels, golden["pp_o2_karras__sigmas"], rtol=1e-4)
    path = _last_axis(golden["pp_o2_karras__traj"])
    ours = _walk(golden, "pp_o2_karras", denoise, schedule, DPM["pp_o2"], schedule.inv_sigma(levels), path[0])
    np.testing.assert_allclose(ours, path[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "solver"),
    [("unipc_bh2_o2", samplers.unipc()), ("unipc_bh1_o3", samplers.unipc(3, "bh1"))],
)
def test_unipc(x64, case, solver):
    golden, hyper, config = _case("diffusers_unipc_pndm", case)
    chain = _chain(config)
    times = np.append(golden[f"{case}__timesteps"] + 1, _end(config))
    path = _last_axis(golden[f"{case}__traj"])
    denoise = reference.fake_denoiser(hyper, "eps", "", chain)
    ours = _walk(golden, case, denoise, chain, solver, times, path[0])
    np.testing.assert_allclose(ours, path[1:], rtol=1e-3 if "o3" in case else 1e-4, atol=1e-5)


@pytest.mark.parametrize(("case", "warm_up"), [("pndm_prk", "runge_kutta"), ("plms", "multistep")])
def test_pndm(x64, case, warm_up):
    """Its last step ends on the chain's first level, n = 1; where it also begins there, nothing moves."""
    golden, hyper, config = _case("diffusers_unipc_pndm", case)
    chain = _chain(config)
    path = _last_axis(golden[f"{case}__traj"])
    times = samplers.grids.distinct(np.append(100 * np.arange(10) + config.get("steps_offset", 0) + 1, 1))
    denoise = reference.fake_denoiser(hyper, "eps", "", chain)
    ours = _walk(golden, case, denoise, chain, samplers.pndm(warm_up), times, path[0])
    np.testing.assert_allclose(ours, path[1 : len(ours) + 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(path[-1], path[len(ours)], rtol=1e-6)


def _sigma_case(case):
    """Sigma-based schedulers walk y = x / alpha, and hand x = y / sqrt(1 + sigma^2) to the network."""
    golden, hyper, config = _case("diffusers_sigma_based", case)
    chain = _chain(config)
    kind = KINDS[config.get("prediction_type", "epsilon")]
    denoise = reference.fake_denoiser(hyper, kind, "", chain)
    path = _last_axis(golden[f"{case}__traj"])
    return golden, chain, denoise, path


def _check_sigma_path(ours, path, schedule, times):
    alpha = schedule(np.asarray(times)).alpha[1:, None, None, None, None]
    np.testing.assert_allclose(ours / alpha, path, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "solver"),
    [("euler", samplers.ddim()), ("euler_vpred_trailing", samplers.ddim()),
     ("euler_ancestral", samplers.ddim(1.0)), ("lms", samplers.lms())],
)  # fmt: skip
def test_sigma_based(x64, case, solver):
    golden, chain, denoise, path = _sigma_case(case)
    times = np.append(golden[f"{case}__timesteps"] + 1, 0)
    ours = _walk(golden, case, denoise, chain, solver, times, path[0] * chain(times[0]).alpha)
    _check_sigma_path(ours, path[1:], chain, times)


def test_sigma_based_on_karras_levels(x64):
    golden, chain, denoise, path = _sigma_case("euler_karras")
    schedule = chain.continuous()
    times = schedule.inv_sigma(golden["euler_karras__sigmas"])
    np.testing.assert_allclose(times[:-1], golden["euler_karras__timesteps"] + 1, atol=0.05)
    x = path[0] * schedule(times[0]).alpha
    ours = _walk(golden, "euler_karras", denoise, schedule, samplers.edm_euler(), times, x)
    _check_sigma_path(ours, path[1:], schedule, times)


@pytest.mark.parametrize(("case", "solver"), [("heun", samplers.edm_heun()), ("kdpm2", samplers.dpm_2())])
def test_sigma_based_of_two_calls(x64, case, solver):
    """diffusers counts calls, so that every second of its samples is the end of a step of ours."""
    golden, chain, denoise, path = _sigma_case(case)
    schedule = chain.continuous()
    times = np.append(golden[f"{case}__timesteps"][::2] + 1, 0)
    ours = _walk(golden, case, denoise, schedule, solver, times, path[0] * chain(times[0]).alpha)
    _check_sigma_path(ours, np.concatenate([path[2::2], path[-1:]]), schedule, times)


@pytest.mark.parametrize(("case", "shift"), [("shift1", 1.0), ("shift3", 3.0)])
def test_flow_matching_euler(x64, case, shift):
    """x + (sigma' - sigma) v; the network is told 1000 sigma. diffusers shifts its smallest time twice."""
    golden, hyper, _ = _case("diffusers_flow_match", case)
    shifted = lambda t: shift * t / (1 + (shift - 1) * t)
    times = np.append(shifted(np.linspace(1.0, shifted(0.001), 10)), 0)
    np.testing.assert_allclose(times, golden[f"{case}__sigmas"], rtol=1e-6)
    network = reference.fake_network(hyper)
    denoise = prediction.denoiser(lambda x, t, cond: network(x, 1000 * t + 1), "velocity")
    path = _last_axis(golden[f"{case}__traj"])
    ours = _walk(golden, case, denoise, schedules.rectified_flow(), samplers.euler(), times, path[0])
    np.testing.assert_allclose(ours, path[1:], rtol=1e-4, atol=1e-5)


# --- diffusers itself, where it is installed -------------------------------------------------------


def _scheduler(name, **options):
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers, with torch")
    return getattr(diffusers, name)(beta_schedule="linear", **options)


def _theirs(scheduler, n):
    """Walk diffusers' scheduler; return its times on our chain and its samples `[n + 1, 6]`, float64."""
    torch = pytest.importorskip("torch")
    scheduler.set_timesteps(n)
    x = torch.from_numpy(np.random.default_rng(n).normal(size=(1, 6)))
    path = [x]
    for t in scheduler.timesteps:
        path.append(scheduler.step(_told(torch, path[-1], int(t) + 1), t, path[-1]).prev_sample.double())
    return np.append(scheduler.timesteps.numpy() + 1, 1), np.concatenate(path)


def _told(xp, x, n):
    """A network that bends along x and along n."""
    return 0.4 * xp.sin(3 * x + n / 90) + 0.7 * x


def _ours(solver, times, x):
    chain = schedules.linear_beta(1000)
    denoise = prediction.denoiser(lambda x, n, cond: _told(jnp, x, n.reshape(-1, 1)), "eps")
    x = jnp.asarray(x)
    return samplers.sample(KEY, denoise, chain, solver, times, x_init=x, trajectory=True)[1][:, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [9, 10, 11, 12])
@pytest.mark.parametrize(
    ("kind", "ours"),
    [("dpmsolver++", samplers.dpm_solver_pp_single), ("dpmsolver", samplers.dpm_solver_single)],
)
@pytest.mark.parametrize("order", [2, 3])
def test_what_is_left_of_groups_of_singlestep_solvers(x64, kind, ours, order, n):
    """Whole groups, then a group of the rest: its last interval is of order 2 where two are left."""
    scheduler = _scheduler(
        "DPMSolverSinglestepScheduler", solver_order=order, algorithm_type=kind, lower_order_final=True,
        final_sigmas_type="sigma_min",
    )  # fmt: skip
    times, path = _theirs(scheduler, n)
    np.testing.assert_allclose(_ours(ours(order), times, path[:1]), path[1:], rtol=1e-3, atol=2e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("order", [2, 3])
def test_deis_ends_at_lower_orders_below_15_steps(x64, order, n):
    times, path = _theirs(_scheduler("DEISMultistepScheduler", solver_order=order), n)
    solver = samplers.deis(order, "log_rho")
    np.testing.assert_allclose(_ours(solver, times, path[:1]), path[1:], rtol=1e-3, atol=1e-4)
    full = _ours(samplers.deis(order, "log_rho", lower_order_final=False), times, path[:1])
    assert (np.abs(full[-1] - path[-1]).max() > 2e-3) == (n < 15)
