"""Stochastic solvers on Gaussian data, where every step is linear and the variance known exactly.

The sampler is linear in (x_T, z_1, ..., z_N), so that a batch of N + 1 samples, each with one of these set
to 1 and the others to 0, gives the variance without any sampling error: the sum of their squares.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, guidance, samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)


def _variances(denoise, schedule, solver, times, start, **options):
    """Return the variance of x after every step, when x starts with variance `start`."""
    n = len(times) - 1
    x = jnp.zeros((n + 1, 1)).at[0].set(np.sqrt(start))
    noise = np.concatenate([np.zeros((n, 1)), np.eye(n)], 1)[:, None, :, None]
    options = {"noise": noise} | options
    _, path = samplers.sample(KEY, denoise, schedule, solver, times, x_init=x, trajectory=True, **options)
    return np.asarray((path**2).sum((1, 2)))


def _gaussian(v):
    def denoise(x, level, cond=None):
        shrink = x / (level.alpha**2 * v + level.sigma**2)
        return prediction.Prediction(level.alpha * v * shrink, level.sigma * shrink)

    return denoise


def test_large_variance_keeps_unit_data_at_one(x64):
    chain = schedules.linear_beta(200, 1e-3, 0.1)
    solver = samplers.ancestral("fixed_large")
    variance = _variances(_gaussian(1.0), chain, solver, np.arange(200, 0, -1), 1.0)
    np.testing.assert_allclose(variance, 1, rtol=1e-11)


@pytest.mark.parametrize("solver", [samplers.ancestral(), samplers.ddim(1.0)])
def test_small_variance_carries_a_point_mass_exactly(x64, solver):
    """x_s - alpha_s m has variance sigma_s^2 after every step, on any grid, and m itself is reached."""
    chain, times = schedules.linear_beta(1000), samplers.grids.spaced(1000, "10,15,20")
    denoise = lambda x, level, cond: prediction.from_x0(jnp.full_like(x, 0.7), x, level)
    at = chain(times)
    variance = _variances(_gaussian(0.0), chain, solver, times, at.sigma[0] ** 2)
    np.testing.assert_allclose(variance, at.sigma[1:] ** 2, rtol=1e-9, atol=1e-15)
    x = samplers.sample(KEY, denoise, chain, solver, times, shape=(5, 1))
    assert (x == 0.7).all()


@pytest.mark.parametrize(
    "schedule", [schedules.linear_beta(1000), schedules.edm(), schedules.rectified_flow()]
)
def test_ddim_at_eta_one_is_ancestral(x64, schedule):
    m = exact.gaussian_mixture([0.3, 0.7], [[-1.0, 0.0], [0.8, 0.4]], [0.2, 0.05])
    times = schedule.t_max * np.linspace(1, 0, 7) ** 2
    noise = np.random.default_rng(0).normal(size=(6, 1, 5, 2))
    x = schedule.prior_std * jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)))
    paths = [
        samplers.sample(KEY, m.denoiser(), schedule, s, times, x_init=x, noise=noise, trajectory=True)[1]
        for s in (samplers.ancestral(), samplers.ddim(1.0))
    ]
    np.testing.assert_allclose(*paths, rtol=1e-8, atol=1e-12)


SCHEDULES = {
    "edm": (schedules.edm(), samplers.grids.karras(12, 0.01, 60.0)),
    "rectified_flow": (schedules.rectified_flow(), samplers.grids.uniform(12, 0.0, 0.97)),
    "continuous": (schedules.linear_beta(100).continuous(), samplers.grids.uniform(12, 0.0, 60.0)),
    "chain": (schedules.linear_beta(1000), samplers.grids.uniform(12, 0, 996)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_churn_lands_on_the_marginal_of_a_noisier_level(name):
    """r^2 + (churn / alpha)^2 = r_hat^2 with r = sigma / alpha, and r_hat = r (1 + gamma) off a chain."""
    schedule, times = SCHEDULES[name]
    rows = samplers.edm_heun(s_churn=3.0, s_min=0.05, s_max=30.0).plan(schedule, times)
    before = schedule(times[:-1])
    r, r_hat = before.sigma / before.alpha, rows.level.sigma / rows.level.alpha
    np.testing.assert_allclose(r**2 + (rows.churn / rows.level.alpha) ** 2, r_hat**2, rtol=1e-9)
    np.testing.assert_allclose(rows.scale * before.alpha, rows.level.alpha, rtol=1e-12)
    churned = (r >= 0.05) & (r <= 30)
    assert churned.any() and (r_hat[~churned] == r[~churned]).all()
    if name != "chain":
        np.testing.assert_allclose(r_hat[churned] / r[churned], 1.25, rtol=1e-9)


def _guided(gamma):
    """Guidance between N(0, 2) and, for the condition 1, N(0, 1)."""

    def denoise(x, level, cond):
        v = jnp.where(cond == 1, 1.0, 2.0).astype(x.dtype)[:, None]
        return _gaussian(v)(x, level)

    return guidance.classifier_free(gamma, null=0)(denoise)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
def test_guided_flow_and_guided_diffusion_have_their_own_variances(x64, gamma):
    """Bradley & Nakkiran 2024: ODE 2^(1-g), SDE (2 - 2^(2-2g)) / (2g - 1), and neither is 2 / (g + 1)."""
    schedule, top = schedules.edm(0.002, 200.0), 200.0
    times = samplers.grids.karras(600, 0.002, top)
    cond = {"cond": jnp.ones(len(times), int)}
    start = top**2
    ode = _variances(_guided(gamma), schedule, samplers.edm_heun(), times, start, noise=None, **cond)[-1]
    # from a finite sigma: sigma^2 (2 / (2 + sigma^2))^(1 - g) (1 / (1 + sigma^2))^g
    np.testing.assert_allclose(
        ode, start * (2 / (2 + start)) ** (1 - gamma) / (1 + start) ** gamma, rtol=3e-4
    )
    np.testing.assert_allclose(ode, 2 ** (1 - gamma), rtol=1e-3)
    expected, errors = (2 - 2 ** (2 - 2 * gamma)) / (2 * gamma - 1), []
    for n in (300, 600):
        times = samplers.grids.karras(n, 0.002, top)
        cond = {"cond": jnp.ones(n + 1, int)}
        variance = _variances(_guided(gamma), schedule, samplers.ancestral(), times, start, **cond)[-1]
        errors.append(variance / expected - 1)
    assert abs(errors[1]) < 0.03
    assert abs(2 * errors[1] - errors[0]) < 1e-3, errors  # extrapolated to no step at all


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
def test_langevin_steps_of_the_guided_score_do_sample_the_tilted_law(x64, gamma):
    """At one small level x <- a x + b z has the stationary variance b^2 / (1 - a^2), here 2 / (g + 1)."""
    x, noise = jnp.array([[1.0], [0.0]]), np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    options = {"x_init": x, "noise": noise, "cond": jnp.ones(2, int)}
    a, b = samplers.sample(KEY, _guided(gamma), schedules.edm(), samplers.ald(), [0.02, 0.01], **options)[
        :, 0
    ]
    np.testing.assert_allclose(b**2 / (1 - a**2), 2 / (gamma + 1), rtol=1e-3)


@pytest.mark.parametrize(
    ("solver", "order"),
    [(samplers.ancestral(), 1), (samplers.dpm_solver_pp(1, eta=1.0), 1), (samplers.dpm_solver_pp_sde(), 1),
     (samplers.dpm_solver_pp(2, eta=1.0), 2), (samplers.dpm_solver_pp(2, "heun", eta=0.5), 2),
     (samplers.dpm_solver(2, eta=1.0), 2), (samplers.dpm_2_ancestral(), 2),
     (samplers.dpm_solver_pp_2s(eta=1.0), 2)],
)  # fmt: skip
def test_order_of_the_variance(x64, solver, order):
    """From N(0, v + 20^2) to N(0, v + 0.05^2): the error falls with the solver's order."""
    v, errors = 0.25, []
    for n in (128, 256):
        times = samplers.grids.karras(n + 1, 0.05, 20.0)[:-1]
        sources = n * solver.draws
        x = jnp.zeros((sources + 1, 1)).at[0].set(np.sqrt(v + times[0] ** 2))
        noise = np.eye(sources, sources + 1, 1).reshape(n, solver.draws, sources + 1, 1)
        x = samplers.sample(KEY, _gaussian(v), schedules.edm(), solver, times, x_init=x, noise=noise)
        errors.append(float((x**2).sum()) / (v + times[-1] ** 2) - 1)
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15, errors
    assert abs(errors[1]) < 0.1
