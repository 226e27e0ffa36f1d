"""Solvers that are one method in another dress, and the functions under them."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import integrate

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.samplers.dpm import exponential

KEY = jax.random.key(0)
MIXTURE = mixtures.tilted()
VP = schedules.vp_linear()
UNEVEN = np.array([0.9, 0.8, 0.62, 0.55, 0.3, 0.22, 0.1, 0.03])


def _walk(solver, schedule=VP, times=UNEVEN, noise=None):
    x = 3 * jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    return samplers.sample(KEY, MIXTURE.denoiser(), schedule, solver, times, x_init=x, noise=noise)


RESTS = tuple(range(len(UNEVEN)))
ONE_METHOD = {
    "UniP is DPM-Solver++": (
        samplers.unipc(2, lower_order_final=False, disable_corrector=RESTS),
        samplers.dpm_solver_pp(2, lower_order_final=False),
    ),
    "UniP is DPM-Solver": (
        samplers.unipc(2, "bh2", "eps", False, RESTS), samplers.dpm_solver(2, lower_order_final=False),
    ),
    "DEIS in log rho is DPM-Solver": (
        samplers.deis(3, "log_rho", False), samplers.dpm_solver(3, "taylor", lower_order_final=False),
    ),
    "DEIS ends as DPM-Solver does": (samplers.deis(3, "log_rho"), samplers.dpm_solver(3, "taylor")),
    "DEIS in rho is LMS": (samplers.deis(4, "rho", False), samplers.lms(4)),
    "Euler over sigma / alpha is DDIM": (samplers.edm_euler(), samplers.ddim()),
    "LMS of order 1 is DDIM": (samplers.lms(1), samplers.ddim()),
    "2S in both forms": (samplers.dpm_solver_pp_2s(), samplers.dpm_solver_pp_sde(eta=0.0)),
    "DPM-Solver of order 1 is DPM-Solver++": (samplers.dpm_solver(1), samplers.dpm_solver_pp(1)),
    "DPM-Solver-2 without noise": (samplers.dpm_2_ancestral(eta=0.0), samplers.dpm_2()),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_METHOD)
def test_one_method(x64, name):
    np.testing.assert_allclose(*(_walk(solver) for solver in ONE_METHOD[name]), rtol=1e-9)


@pytest.mark.parametrize(
    ("own", "grid", "parts"),
    [(samplers.dpm_solver_pp_2s(), samplers.dpm_solver_pp_single(2, lower_order_final=False), 2),
     (samplers.dpm_2(), samplers.dpm_solver_single(2, lower_order_final=False), 2)],
)  # fmt: skip
def test_middles_of_its_own_are_middles_of_the_grid(x64, own, grid, parts):
    times = samplers.grids.subdivide(UNEVEN, VP, parts)
    np.testing.assert_allclose(times[::parts], UNEVEN, rtol=1e-12)
    steps = np.diff(VP(times).log_snr)
    np.testing.assert_allclose(steps[::2], steps[1::2], rtol=1e-9)
    np.testing.assert_allclose(_walk(own), _walk(grid, times=times), rtol=1e-9)


@pytest.mark.parametrize("schedule", [VP, schedules.rectified_flow(), schedules.ve()])
def test_stochastic_solvers_of_order_1_are_ancestral_sampling(x64, schedule):
    noise = np.random.default_rng(1).normal(size=(len(UNEVEN), 1, 4, 2))
    times = np.append(UNEVEN, 0.0)
    first = _walk(samplers.ancestral(), schedule, times, noise)
    for solver in (samplers.dpm_solver_pp(1, eta=1.0), samplers.euler_ancestral()):
        np.testing.assert_allclose(_walk(solver, schedule, times, noise), first, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("z", [-30.0, -1.0001, -0.9999, -1e-3, 0.0, 1e-7, 0.4, 1.5, 6.0])
def test_phi_is_its_integral(k, z):
    """phi_k(z) = int_0^1 e^{(1 - s) z} s^{k - 1} / (k - 1)! ds."""
    integrand = lambda s: np.exp((1 - s) * z) * s ** (k - 1) / np.prod(np.arange(1, k))
    expected, _ = integrate.quad(integrand, 0, 1, epsabs=0, epsrel=1e-13)
    np.testing.assert_allclose(exponential.phi(k, z), expected, rtol=1e-11)


@pytest.mark.parametrize("variable", ["t", "rho", "log_rho"])
@pytest.mark.parametrize(
    "schedule", [VP, schedules.rectified_flow(), schedules.linear_beta(100).continuous()]
)
def test_deis_integrates_polynomials_of_its_variable_exactly(x64, schedule, variable):
    """eps that is a cubic of the variable: dy / d rho = eps has a closed integral."""
    times = UNEVEN * schedule.t_max
    level = schedule(times)
    reads = {
        "t": lambda level: level.t / schedule.t_max,
        "rho": lambda level: level.sigma / level.alpha,
        "log_rho": lambda level: -0.5 * level.log_snr,
    }[variable]
    cubic = lambda u: 1 + u - 0.5 * u**2 + 0.2 * u**3

    def denoise(x, level, cond=None):
        return prediction.from_eps(jnp.full_like(x, cubic(reads(level))), x, level)

    def slope(t):
        level = schedule(np.float64(t))
        rate = (level.d_sigma - level.d_alpha * level.sigma / level.alpha) / level.alpha
        return cubic(reads(level)) * rate

    solver = samplers.deis(4, variable, lower_order_final=False)
    _, path = samplers.sample(KEY, denoise, schedule, solver, times, x_init=jnp.ones((1, 1)), trajectory=True)
    y = np.asarray(path)[:, 0, 0] / level.alpha[1:]
    for i in range(3, len(y) - 1):  # from order 4 on
        knots = np.arange(np.ceil(times[i + 2]), times[i + 1]) if schedule.t_max == 100 else None
        expected, _ = integrate.quad(slope, times[i + 1], times[i + 2], epsrel=1e-12, limit=400, points=knots)
        np.testing.assert_allclose(y[i + 1] - y[i], expected, rtol=1e-3 if schedule.t_max == 100 else 1e-8)


def test_slerp():
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(5, 3, 2)), jnp.float32) for _ in range(2))
    share = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    z = samplers.slerp(x, y, share)
    np.testing.assert_allclose(z[0], x[0], atol=1e-6)
    np.testing.assert_allclose(z[4], y[4], atol=1e-6)
    # on the unit sphere: the angles from both ends are their shares of the whole
    u, v = (a / np.linalg.norm(a, axis=(1, 2), keepdims=True) for a in (np.asarray(x), np.asarray(y)))
    w = np.asarray(samplers.slerp(u, v, share))
    angle = lambda a, b: np.arccos(np.clip((a * b).sum((1, 2)), -1, 1))
    np.testing.assert_allclose(np.linalg.norm(w, axis=(1, 2)), 1, rtol=1e-6)
    np.testing.assert_allclose(angle(u, w), share * angle(u, v), atol=2e-3)
    np.testing.assert_allclose(angle(w, v), (1 - share) * angle(u, v), atol=2e-3)
    np.testing.assert_allclose(samplers.slerp(x, 2 * x, 0.5), 1.5 * x, rtol=1e-5)  # parallel: straight


@pytest.mark.parametrize("t", [0.05, 0.3, 0.8])
def test_editing_keeps_the_data(x64, t):
    """Noised data, denoised again, is data; and how much of each point stays is what the posterior says."""
    x0 = MIXTURE.sample(jax.random.key(1), 4000)
    start = samplers.start_from(jax.random.key(2), VP, x0, t)
    times = VP.inv_sigma(samplers.grids.karras(30, 0.01, float(VP(t).sigma / VP(t).alpha)))
    times[0] = t
    x = samplers.sample(
        jax.random.key(3), MIXTURE.denoiser(), VP, samplers.dpm_solver_pp(2, eta=1.0), times, x_init=start
    )
    share = np.asarray(MIXTURE.responsibilities(x).mean(0))
    np.testing.assert_allclose(share, MIXTURE.weights, atol=0.035)
    cov = lambda a: np.cov(np.asarray(a).T)
    np.testing.assert_allclose(cov(x), cov(x0), atol=0.08)
    # x and x0 are two draws of the posterior: the covariance of the pair is that of the posterior mean
    mean = MIXTURE.predict(start, VP(t)).x0
    pair = lambda a, b: np.mean((np.asarray(a) - a.mean(0)) * (np.asarray(b) - b.mean(0)), 0)
    np.testing.assert_allclose(pair(x, x0), pair(mean, mean), atol=0.08)


def test_a_middle_of_a_chain_is_one_of_its_steps():
    """Also where there is none between: then it is an end of the interval."""
    chain, times = schedules.linear_beta(1000), np.array([1000, 500, 499, 0])
    for solver in (samplers.dpm_2(), samplers.dpm_2_ancestral(), samplers.dpm_solver_pp_2s()):
        rows = samplers.plan(chain, solver, times)
        middle = np.append(rows.steps.middle.t, rows.last.middle.t)
        np.testing.assert_array_equal(middle, np.rint(middle))
        assert middle[0] < 1000 and (middle[1] in (500, 499) or solver.draws)  # ancestral steps go lower
