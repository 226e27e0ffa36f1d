"""Deterministic solvers against the exact flow: measured orders, and closed-form gains on Gaussian data."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import integrate

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.samplers import listing
from diffjax.samplers.entry import TOLERANCE

MIXTURE = mixtures.tilted()
KEY = jax.random.key(0)


PROBLEMS = {
    "edm": lambda n: (schedules.edm(), samplers.grids.karras(n + 1, 0.05, 20.0)[:-1]),
    "straight": lambda n: (schedules.rectified_flow(), samplers.grids.uniform(n, 0.05, 0.95)),
}
CASES = {
    f"{order.call.text(entry.make)} {problem}": (order.call.of(entry.make), problem, order)
    for entry in listing.SOLVERS.values()
    for order in entry.orders
    for problem in order.seen_on
}


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
    starts = {name: x * grid(2)[0](grid(2)[1][0]).sigma for name, grid in PROBLEMS.items()}
    return {name: (start, _flow_map(*PROBLEMS[name](2), start)) for name, start in starts.items()}


@pytest.mark.parametrize("case", CASES)
def test_order(x64, exact_ends, case):
    solver, problem, order = CASES[case]
    start, end = exact_ends[problem]
    errors = []
    for n in (order.steps, 2 * order.steps):
        schedule, times = PROBLEMS[problem](n)
        x = samplers.sample(KEY, MIXTURE.denoiser(), schedule, solver, times, x_init=jnp.asarray(start))
        errors.append(np.sqrt(np.mean((x - end) ** 2)))
    assert errors[1] < 0.02
    assert abs(np.log2(errors[0] / errors[1]) - order.order) < TOLERANCE, errors


@pytest.mark.parametrize("name", listing.SOLVERS)
def test_every_solver_has_a_measured_order(name):
    entry = listing.SOLVERS[name]
    assert entry.orders or entry.noisy_orders or name == "annealed_langevin"  # which stays at a level's law


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
