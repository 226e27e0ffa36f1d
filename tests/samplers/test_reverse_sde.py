"""Euler-Maruyama and reverse diffusion: measured orders, limits, and what they refuse."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)
SCHEDULES = {
    "vp": (schedules.vp_linear(), lambda n: samplers.grids.quadratic(n, 0.01, 1.0)),
    "sub_vp": (schedules.sub_vp(), lambda n: samplers.grids.quadratic(n, 0.02, 1.0)),
    "ve": (schedules.ve(0.1, 10.0), lambda n: samplers.grids.uniform(n, 0.1, 1.0)),
    "edm": (schedules.edm(), lambda n: np.geomspace(10, 0.2, n + 1)),
    "flow": (schedules.rectified_flow(), lambda n: samplers.grids.uniform(n, 0.1, 0.9)),
}
SOLVERS = {
    "em": samplers.euler_maruyama(),
    "em_half": samplers.euler_maruyama(0.5),
    "em_ode": samplers.euler_maruyama(0.0),
    "rd": samplers.reverse_diffusion(),
    "rd_ode": samplers.reverse_diffusion(0.0),
}


def _gaussian(v):
    def denoise(x, level, cond=None):
        shrink = x / (level.alpha**2 * v + level.sigma**2)
        return prediction.Prediction(level.alpha * v * shrink, level.sigma * shrink)

    return denoise


def _variance_error(solver, schedule, times, v):
    """The walk is linear in the start and every draw, so that a batch of unit vectors gives its variance."""
    n, draws = len(times) - 1, solver.draws
    start, end = (float(a**2 * v + s**2) for a, s in (schedule(t)[1:3] for t in (times[0], times[-1])))
    x = np.zeros((1 + n * draws, 1))
    x[0] = np.sqrt(start)
    noise = np.concatenate([np.zeros((n * draws, 1)), np.eye(n * draws)], 1)
    noise = noise.reshape(n, draws, 1 + n * draws, 1)
    options = {"noise": noise} if draws else {}
    x = samplers.sample(KEY, _gaussian(v), schedule, solver, times, x_init=jnp.asarray(x), **options)
    return float((x**2).sum()) / end - 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_weak_order_one(x64, name, solver):
    schedule, grid = SCHEDULES[name]
    errors = [_variance_error(SOLVERS[solver], schedule, grid(n), 0.4) for n in (200, 400)]
    assert abs(errors[1]) < 0.2
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.15, errors


@pytest.mark.parametrize("name", ["vp", "edm"])
def test_strong_order_one_because_the_noise_is_additive(x64, name):
    """On one Brownian path, x of n and of 2n steps approach each other as 1 / n."""
    schedule, grid = SCHEDULES[name]
    finest = 512
    times = grid(finest)
    z = np.random.default_rng(0).normal(size=(finest, 256, 2))
    steps = np.sqrt(-np.diff(times))[:, None, None]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(256, 2))) * float(schedule(times[0]).sigma)

    def end(n):
        k = finest // n
        path = (z * steps).reshape(n, k, 256, 2).sum(1) / np.sqrt(-np.diff(times[::k]))[:, None, None]
        return samplers.sample(
            KEY, _gaussian(0.4), schedule, SOLVERS["em"], times[::k], x_init=x,
            noise=path[:, None],
        )  # fmt: skip

    ends = [end(n) for n in (64, 128, 256, 512)]
    gaps = [float(jnp.abs(a - b).mean()) for a, b in zip(ends, ends[1:])]
    assert gaps[-1] < 0.05
    assert abs(np.log2(gaps[1] / gaps[2]) - 1) < 0.25, gaps


@pytest.mark.parametrize("name", ["em", "em_half", "rd"])
def test_samples_have_the_modes_weights(name):
    """Ring of eight, by the fastest route: 200 steps of the reverse SDE."""
    mixture = mixtures.ring8()
    x = samplers.sample(
        KEY, mixture.denoiser(), schedules.edm(0.002, 20.0), SOLVERS[name],
        samplers.grids.karras(200, 0.002, 20.0), shape=(4000, 2),
    )  # fmt: skip
    shares = np.bincount(np.asarray(mixture.class_log_prob(x).argmax(-1)), minlength=8) / 4000
    # 4 standard errors, and the solver's own bias
    np.testing.assert_allclose(shares, mixture.weights, atol=4 * np.sqrt(0.25 / 4000) + 0.01)


def test_arrival_at_data_is_the_predicted_data(x64):
    m = np.array([0.3, -0.8])
    denoise = lambda x, level, cond=None: prediction.from_x0(jnp.broadcast_to(m, x.shape), x, level)
    for name in SOLVERS:
        for schedule, start in ((schedules.ve(0.01, 5.0), 1.0), (schedules.edm(), 80.0)):
            x = samplers.sample(KEY, denoise, schedule, SOLVERS[name], [start, 0.0], shape=(4, 2))
            np.testing.assert_allclose(x, np.broadcast_to(m, (4, 2)), atol=1e-10)
    # on a chain alpha changes: short of x_0 by beta^2 / 4 x + beta^2 / 2 score, score = z / sqrt(beta)
    chain = schedules.linear_beta(1000)
    x = samplers.sample(KEY, denoise, chain, SOLVERS["rd"], np.arange(1000, -1, -1), shape=(4, 2))
    np.testing.assert_allclose(x, np.broadcast_to(m, (4, 2)), atol=5 * 0.5 * 1e-4**1.5)


def test_the_deterministic_form_walks_upwards(x64):
    schedule, grid = SCHEDULES["vp"]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2)))
    up = samplers.encode(_gaussian(0.4), schedule, SOLVERS["em_ode"], grid(2000), x)
    down = samplers.sample(KEY, _gaussian(0.4), schedule, SOLVERS["em_ode"], grid(2000), x_init=up)
    np.testing.assert_allclose(down, x, atol=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.euler_maruyama(-0.1), "eta must be at least 0, got -0.1"),
        (lambda: samplers.reverse_diffusion(-0.1), "eta must be at least 0, got -0.1"),
        (
            lambda: samplers.plan(schedules.linear_beta(10), SOLVERS["em"], [10, 5]),
            "euler_maruyama needs .* a discrete chain has none",
        ),
        (
            lambda: samplers.plan(schedules.rectified_flow(), SOLVERS["em"], [1.0, 0.5]),
            "f and g are infinite at alpha = 0; start at a smaller time",
        ),
        (
            lambda: samplers.plan(schedules.vp_linear(), SOLVERS["em_ode"], [0.0, 0.5, 1.0]),
            "euler_maruyama: d sigma/dt is infinite at t = 0; begin at the schedule's t_min",
        ),
        (
            lambda: samplers.plan(schedules.rectified_flow(), SOLVERS["em_ode"], [0.0, 0.5]),
            "euler_maruyama: the score is infinite at sigma = 0; begin at the schedule's t_min",
        ),
        (lambda: samplers.plan(schedules.edm(), SOLVERS["rd"], [1.0, 2.0]), "cannot walk upwards"),
        (lambda: samplers.plan(schedules.edm(), SOLVERS["rd_ode"], [1.0, 2.0]), "times must decrease"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        (schedules.rectified_flow(), samplers.grids.uniform(40)),
        (schedules.zero_terminal_snr(schedules.linear_beta(100)), np.arange(100, -1, -1)),
    ],
)
def test_reverse_diffusion_from_alpha_0_is_the_reverse_sde_or_refused(schedule, times):
    """With less noise the first steps multiply x by 1 + 1 / 2(k + 1)^2, and no step forgets it."""
    for eta in (0.0, 0.5):
        with pytest.raises(ValueError, match="reverse_diffusion: f and g are infinite at alpha = 0"):
            samplers.plan(schedule, samplers.reverse_diffusion(eta), times)
        samplers.plan(schedule, samplers.reverse_diffusion(eta), times[1:])
    samplers.plan(schedule, samplers.reverse_diffusion(), times)
