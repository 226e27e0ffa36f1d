"""Deterministic solvers against the exact flow: measured orders, and closed-form gains on Gaussian data."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import integrate

from diffjax import samplers
from diffjax.process import prediction, schedules

MIXTURE = mixtures.tilted()
KEY = jax.random.key(0)


def _edm(n):
    return schedules.edm(), samplers.grids.karras(n + 1, 0.05, 20.0)[:-1]


def _flow(n):
    return schedules.rectified_flow(), samplers.grids.uniform(n, 0.05, 0.95)


# (name, solver, grid, N of the coarser grid, order)
CASES = [
    ("euler", samplers.euler(), _edm, 128, 1), ("euler", samplers.euler(), _flow, 128, 1),
    ("ddim", samplers.ddim(), _edm, 128, 1), ("ddim", samplers.ddim(), _flow, 128, 1),
    ("dpm_1", samplers.dpm_solver_pp(1), _edm, 128, 1),
    ("heun", samplers.heun(), _edm, 128, 2), ("heun", samplers.heun(), _flow, 128, 2),
    ("ralston", samplers.heun(2 / 3), _flow, 128, 2), ("midpoint", samplers.heun(0.5), _flow, 128, 2),
    ("edm_euler", samplers.edm_euler(), _edm, 128, 1), ("edm_euler", samplers.edm_euler(), _flow, 128, 1),
    ("edm_heun", samplers.edm_heun(), _edm, 128, 2), ("edm_heun", samplers.edm_heun(), _flow, 128, 2),
    ("dpm_2", samplers.dpm_2(), _edm, 128, 2), ("dpm_2", samplers.dpm_2(), _flow, 128, 2),
    ("dpm_pp_2m", samplers.dpm_solver_pp(2), _edm, 128, 2),
    ("dpm_pp_2m", samplers.dpm_solver_pp(2), _flow, 128, 2),
    ("dpm_pp_2m_heun", samplers.dpm_solver_pp(2, "heun"), _edm, 128, 2),
    ("dpm_2m", samplers.dpm_solver(2), _edm, 128, 2),
    ("dpm_2m_heun", samplers.dpm_solver(2, "heun"), _flow, 128, 2),
    ("dpm_pp_3m", samplers.dpm_solver_pp(3, "taylor"), _edm, 192, 3),
    ("dpm_3m", samplers.dpm_solver(3, "taylor"), _edm, 192, 3),
    ("dpm_pp_3m_as_published", samplers.dpm_solver_pp(3), _edm, 128, 2),
    ("dpm_pp_2s", samplers.dpm_solver_pp_2s(), _edm, 128, 2),
    ("dpm_pp_2s", samplers.dpm_solver_pp_2s(), _flow, 128, 2),
    ("dpm_pp_2s_anywhere", samplers.dpm_solver_pp_sde(eta=0.0, r=0.4), _edm, 128, 2),
    ("dpm_pp_2s_grid", samplers.dpm_solver_pp_single(2), _flow, 128, 2),
    ("dpm_pp_3s_grid", samplers.dpm_solver_pp_single(3, "heun", False), _edm, 192, 3),
    ("dpm_pp_3s_grid", samplers.dpm_solver_pp_single(3, "midpoint", False), _flow, 192, 3),
    ("dpm_3s_grid", samplers.dpm_solver_single(3, "dpm_solver", False), _edm, 192, 3),
    ("unipc_1", samplers.unipc(1), _edm, 128, 2),
    ("unipc_2", samplers.unipc(2), _edm, 192, 3), ("unipc_2", samplers.unipc(2), _flow, 192, 3),
    ("unipc_2_eps", samplers.unipc(2, "bh1", "eps"), _flow, 192, 3),
    ("unipc_3", samplers.unipc(3), _flow, 192, 4),
    ("deis_2", samplers.deis(2), _edm, 128, 2), ("deis_2", samplers.deis(2), _flow, 128, 2),
    ("deis_3", samplers.deis(3), _edm, 128, 3), ("deis_log_rho_3", samplers.deis(3, "log_rho"), _edm, 128, 3),
    ("deis_4", samplers.deis(4), _edm, 96, 4),
    ("lms_2", samplers.lms(2), _edm, 128, 2), ("lms_3", samplers.lms(3), _edm, 128, 3),
    ("lms_4", samplers.lms(4), _edm, 96, 4),
    ("pndm", samplers.pndm(), _edm, 128, 2), ("plms", samplers.pndm("multistep"), _flow, 128, 2),
]  # fmt: skip


def _flow_map(schedule, times, x):
    """scipy's solution of the probability-flow ODE, from the score of the mixture by hand."""

    def slope(t, flat):
        level = schedule(t)
        z = flat.reshape(-1, 2)
        score = np.zeros_like(z)
        total = np.zeros(len(z))
        for w, m, s in zip(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances):
            c = level.alpha**2 * s + level.sigma**2 * np.eye(2)
            pull = np.linalg.solve(c, (level.alpha * m - z).T).T
            density = w * np.exp(0.5 * ((z - level.alpha * m) * pull).sum(1)) / np.sqrt(np.linalg.det(c))
            score += density[:, None] * pull
            total += density
        score /= total[:, None]
        drift = level.d_alpha / level.alpha
        g2 = 2 * level.sigma * (level.d_sigma - drift * level.sigma)
        return (drift * z - 0.5 * g2 * score).ravel()

    span = (times[0], times[-1])
    return (
        integrate.solve_ivp(slope, span, x.ravel(), "DOP853", rtol=1e-12, atol=1e-12).y[:, -1].reshape(-1, 2)
    )


@pytest.fixture(scope="module")
def exact_ends():
    x = np.random.default_rng(0).normal(size=(4, 2))
    starts = {grid: x * grid(2)[0](grid(2)[1][0]).sigma for grid in (_edm, _flow)}
    return {grid: (start, _flow_map(*grid(2), start)) for grid, start in starts.items()}


@pytest.mark.parametrize(("name", "solver", "grid", "steps", "order"), CASES)
def test_order(x64, exact_ends, name, solver, grid, steps, order):
    start, end = exact_ends[grid]
    errors = []
    for n in (steps, 2 * steps):
        schedule, times = grid(n)
        x = samplers.sample(KEY, MIXTURE.denoiser(), schedule, solver, times, x_init=jnp.asarray(start))
        errors.append(np.sqrt(np.mean((x - end) ** 2)))
    assert errors[1] < 0.02
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15, errors


def _gaussian(v):
    """The exact denoiser of N(0, v)."""

    def denoise(x, level, cond=None):
        shrink = x / (level.alpha**2 * v + level.sigma**2)
        return prediction.Prediction(level.alpha * v * shrink, level.sigma * shrink)

    return denoise


@pytest.mark.parametrize(("n", "gain"), [(10, 0.88348516), (50, 0.97562394)])
def test_ddim_gain_on_unit_data_is_a_product_of_cosines(x64, n, gain):
    """On N(0, 1) each step turns by dtheta, theta = arctan(sigma / alpha), and keeps cos(dtheta)."""
    theta = np.linspace(0, np.pi / 2, n + 1)
    alpha2 = np.append(np.cos(theta[:-1]) ** 2, 0)
    chain = schedules.from_betas(1 - alpha2[1:] / alpha2[:-1])
    x = samplers.sample(
        KEY, _gaussian(1.0), chain, samplers.ddim(), np.arange(n, -1, -1), x_init=jnp.ones((1, 1))
    )
    np.testing.assert_allclose(x[0, 0], np.cos(np.pi / 2 / n) ** n, rtol=1e-10)
    np.testing.assert_allclose(x[0, 0], gain, rtol=1e-7)


@pytest.mark.parametrize("v", [0.04, 3.0])
@pytest.mark.parametrize("sections", ["ddim20", "7", "10,5,3"])
def test_ddim_gain_on_gaussian_data_of_every_step(x64, v, sections):
    """alpha_s k + sigma_s (1 - alpha_t k) / sigma_t with k = alpha_t v / (alpha_t^2 v + sigma_t^2)."""
    chain, times = schedules.linear_beta(1000), samplers.grids.spaced(1000, sections)
    alpha2 = np.concatenate([[1.0], np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))])
    a, s = np.sqrt(alpha2[times]), np.sqrt(1 - alpha2[times])
    k = a[:-1] * v / (a[:-1] ** 2 * v + s[:-1] ** 2)
    gains = np.cumprod(a[1:] * k + s[1:] * (1 - a[:-1] * k) / s[:-1])
    _, path = samplers.sample(
        KEY, _gaussian(v), chain, samplers.ddim(), times, x_init=jnp.ones((1, 1)), trajectory=True
    )
    np.testing.assert_allclose(path[:, 0, 0], gains, rtol=1e-9)


@pytest.mark.parametrize("solver", [samplers.ddim(), samplers.edm_heun(), samplers.heun()])
def test_flow_of_gaussian_data_is_a_scaling(x64, solver):
    """x(0) / x(sigma) = sqrt(v / (v + sigma^2)): the whole way, with the arrival at sigma = 0."""
    schedule, v = schedules.edm(), 0.25
    times = samplers.grids.karras(400, 0.002, 80.0)
    x = samplers.sample(KEY, _gaussian(v), schedule, solver, times, x_init=jnp.ones((1, 1)))
    tolerance = 0.02 if solver is samplers.ddim() else 2e-4
    np.testing.assert_allclose(x[0, 0], np.sqrt(v / (v + 80**2)), rtol=tolerance)


def test_solvers_that_are_one_method(x64):
    """On EDM's schedule Euler is DDIM and Heun is EDM's; DPM-Solver++ of order 1 is DDIM everywhere."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    walk = lambda schedule, times, solver, x: samplers.sample(
        KEY, MIXTURE.denoiser(), schedule, solver, times, x_init=x
    )
    schedule, times = schedules.edm(), samplers.grids.karras(9, 0.05, 20.0)
    same = [(samplers.euler(), samplers.ddim()), (samplers.heun(), samplers.edm_heun())]
    for one, other in same:
        ends = [walk(schedule, times, solver, 20 * x) for solver in (one, other)]
        np.testing.assert_allclose(*ends, rtol=1e-9)
    for place in [(schedules.linear_beta(100), [100, 60, 20, 3, 0]), (schedule, times)]:
        ends = [walk(*place, solver, x) for solver in (samplers.ddim(), samplers.dpm_solver_pp(1))]
        np.testing.assert_allclose(*ends, rtol=1e-9)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [(schedules.edm(), [20, 9, 7, 1.0, 0.9, 0.1]), (schedules.linear_beta(1000), [1000, 900, 300, 280, 10])],
)
def test_dpm_solver_pp_is_its_algorithm_on_an_uneven_grid(x64, schedule, times):
    """Lu et al. 2022, Alg. 2, with its two steps h told apart; the network's x_0 is sin(lambda)."""
    levels = schedule(np.array(times, float))
    lam = levels.log_snr / 2
    x, previous = 1.3, None
    for i in range(len(times) - 1):
        d = x0 = np.sin(lam[i])
        h = lam[i + 1] - lam[i]
        if previous is not None:
            r = (lam[i] - lam[i - 1]) / h
            d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * previous
        x = levels.sigma[i + 1] / levels.sigma[i] * x - levels.alpha[i + 1] * np.expm1(-h) * d
        previous = x0

    def denoise(x, level, cond=None):
        return prediction.from_x0(jnp.full_like(x, jnp.sin(level.log_snr / 2)), x, level)

    solver = samplers.dpm_solver_pp(lower_order_final=False)
    ours = samplers.sample(KEY, denoise, schedule, solver, times, x_init=jnp.full((1, 1), 1.3))
    np.testing.assert_allclose(ours[0, 0], x, rtol=1e-12)
