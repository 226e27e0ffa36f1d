"""Samplers of training times against their distributions, and the weights of continuous time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from diffjax import objectives
from diffjax.objectives import weightings
from diffjax.process import schedules, sde

CHAIN = schedules.linear_beta(8)


@pytest.mark.parametrize(
    ("times", "distribution"),
    [
        (objectives.uniform(schedules.vp_linear()), stats.uniform(1e-5, 1 - 1e-5)),
        (objectives.uniform(schedules.edm(0.002, 80.0)), stats.uniform(0.002, 80 - 0.002)),
        (objectives.log_normal(-1.2, 1.2), stats.lognorm(1.2, scale=np.exp(-1.2))),
        (objectives.logit_normal(0.5, 0.7), None),
    ],
)
def test_distributions(times, distribution):
    t = np.float64(times(jax.random.key(0), 4000))
    if distribution is None:
        t, distribution = np.log(t / (1 - t)), stats.norm(0.5, 0.7)
    assert stats.kstest(t, distribution.cdf).pvalue > 1e-3
    assert (times(jax.random.key(0), 5) == times(jax.random.key(0), 5)).all()


def test_low_discrepancy_times_are_evenly_spread():
    """Every time alone is uniform; a batch has one time in each n-th of the schedule."""
    schedule, n = schedules.log_snr_linear(), 8
    keys = jax.random.split(jax.random.key(1), 2000)
    t = np.asarray(jax.vmap(lambda key: objectives.low_discrepancy(schedule)(key, n))(keys))
    gaps = np.diff(np.sort(t, 1), axis=1)
    np.testing.assert_allclose(gaps, 1 / n, atol=1e-6)
    assert stats.kstest(t[:, 3], stats.uniform.cdf).pvalue > 1e-3
    # the mean over a batch of t^2 varies less than that of independent times
    assert np.var((t**2).mean(1)) < 0.2 * np.var(np.random.default_rng(0).uniform(size=(2000, n)) ** 2) / n
    part = objectives.low_discrepancy(schedules.vp_linear())(jax.random.key(0), 100)
    assert part.min() >= 1e-5 and part.max() <= 1


def test_low_discrepancy_times_of_a_chain():
    chain = schedules.linear_beta(10)
    keys = jax.random.split(jax.random.key(2), 500)
    n = np.asarray(jax.vmap(lambda key: objectives.low_discrepancy(chain)(key, 10))(keys))
    np.testing.assert_array_equal(np.sort(n, 1), np.tile(np.arange(1, 11), (500, 1)))
    few = np.asarray(jax.vmap(lambda key: objectives.low_discrepancy(chain)(key, 3))(keys))
    assert stats.chisquare(np.bincount(few[:, 0], minlength=11)[1:]).pvalue > 1e-3


@pytest.mark.parametrize(
    "schedule", [schedules.vp_linear(), schedules.sub_vp(), schedules.ve(), schedules.edm()]
)
def test_uniform_log_snr_samples_by_g2_over_sigma2(schedule):
    t = np.float64(objectives.uniform_log_snr(schedule)(jax.random.key(3), 4000))
    # the distribution function by quadrature of g^2 / sigma^2, in log t, where it is smooth
    grid = np.geomspace(schedule.t_min, schedule.t_max, 4001)
    density = sde.diffusion(schedule, grid) ** 2 / schedule(grid).sigma ** 2 * grid
    below = integrate.cumulative_trapezoid(density, np.log(grid), initial=0)
    assert stats.kstest(t, lambda t: np.interp(np.log(t), np.log(grid), below / below[-1])).pvalue > 1e-3
    assert t.min() >= np.float32(schedule.t_min) and t.max() <= schedule.t_max


def test_uniform_log_snr_refuses():
    with pytest.raises(ValueError, match="needs a continuous schedule"):
        objectives.uniform_log_snr(schedules.linear_beta(10))
    with pytest.raises(ValueError, match="needs finite ends of log SNR"):
        objectives.uniform_log_snr(schedules.rectified_flow())


def test_likelihood_weighting_is_importance_sampling(x64):
    """The mean weighted loss of a fixed network at uniform times is the plain one here times the range."""
    schedule = schedules.log_snr_linear(4.0, -4.0)  # here both draw the same times
    t = objectives.uniform_log_snr(schedule)(jax.random.key(4), 50)
    np.testing.assert_allclose(t, 1 - objectives.uniform(schedule)(jax.random.key(4), 50), atol=1e-12)
    x0, eps = jnp.asarray(np.random.default_rng(1).normal(size=(2, 50, 3)))
    network = lambda x, t, cond: jnp.sin(x) + t[:, None]
    plain, _ = objectives.denoising(network, x0, eps, schedule(t))
    weighted, _ = objectives.denoising(network, x0, eps, schedule(t), weighting=weightings.likelihood())
    np.testing.assert_allclose(weighted, 8 * plain, rtol=1e-9)


@pytest.mark.parametrize(
    "schedule", [schedules.vp_linear(), schedules.sub_vp(), schedules.ve(), schedules.edm()]
)
def test_likelihood_weight_is_the_fall_of_snr(x64, schedule):
    t = np.array([0.01, 0.3, 0.9])
    level = schedule(t)
    slope = jax.vmap(jax.grad(lambda t: jnp.exp(schedule(t).log_snr)))(jnp.asarray(t))
    np.testing.assert_allclose(weightings.likelihood()(level), -slope, rtol=1e-9)
    # g^2 on the score: ||score error||^2 = SNR / sigma^2 ||x_0 error||^2
    of_score = sde.diffusion(schedule, t) ** 2 * np.exp(level.log_snr) / level.sigma**2
    np.testing.assert_allclose(weightings.likelihood()(level), of_score, rtol=1e-9)


def test_smooth_minimum_of_snr():
    level = schedules.vp_linear()(np.array([0.001, 0.3, 1.0]))
    snr = np.exp(level.log_snr)
    np.testing.assert_allclose(weightings.soft_min_snr(4.0)(level), 4 * snr / (4 + snr), rtol=1e-5)
    with pytest.raises(ValueError, match="d log SNR / dt needs"):
        weightings.likelihood()(schedules.linear_beta(10)(3))


def test_flow_matching_is_the_velocity_loss(x64):
    """||u - (eps - x_0)||^2 at x_t = (1 - t) x_0 + t eps; its minimiser is E[eps - x_0 | x_t]."""
    x0, eps = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)))
    t = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    network = lambda x, t, cond: jnp.sin(x) + t[:, None]
    loss, aux = objectives.denoising(network, x0, eps, schedules.rectified_flow()(t), kind="velocity")
    x_t = (1 - t[:, None]) * x0 + t[:, None] * eps
    np.testing.assert_allclose(loss, ((jnp.sin(x_t) + t[:, None] - eps + x0) ** 2).mean(1), rtol=1e-12)
    # x_0 = x_t - t u and eps = x_t + (1 - t) u
    np.testing.assert_allclose(aux["prediction"].x0, x_t - t[:, None] * network(x_t, t, None), atol=1e-12)


@pytest.mark.parametrize("make", [objectives.log_normal, objectives.logit_normal])
@pytest.mark.parametrize("std", [-1.0, 0.0, np.inf])
def test_a_spread_that_is_not_positive_is_named(make, std):
    with pytest.raises(ValueError, match=f"{make.__name__}: std must be .*finite.*, got {std}$"):
        make(0.0, std)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: objectives.log_normal(mean=np.nan),
            "times.log_normal: mean must be a finite .*, got nan",
        ),
        (lambda: weightings.min_snr(0.0), "gamma must be positive and finite, got 0.0"),
        (lambda: weightings.soft_min_snr(-1.0), "gamma must be positive and finite, got -1.0"),
        (lambda: weightings.p2(k=-1.0), "k must be finite and at least 0, got -1.0"),
        (lambda: weightings.p2(gamma=np.inf), "weightings.p2: gamma must be a finite number, got inf"),
        (lambda: weightings.edm(0.0), "sigma_data must be positive and finite, got 0.0"),
    ],
)
def test_numbers_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


SAMPLERS = {
    "uniform": lambda: objectives.stateless(objectives.uniform(CHAIN)),
    "low_discrepancy": lambda: objectives.stateless(objectives.low_discrepancy(CHAIN)),
    "uniform_log_snr": lambda: objectives.stateless(objectives.uniform_log_snr(schedules.vp_linear())),
    "log_normal": lambda: objectives.stateless(objectives.log_normal()),
    "logit_normal": lambda: objectives.stateless(objectives.logit_normal()),
    "second_moment": lambda: objectives.second_moment.sampler(CHAIN, length=2),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_of_times(name):
    """Weights keep the mean of any loss that of the first state's times; jit, and the state's structure."""
    sampler = SAMPLERS[name]()
    key, state = jax.random.key(0), sampler.init()
    first, weights = sampler.draw(key, state, 64)
    np.testing.assert_array_equal(weights, np.ones(64))
    jitted = jax.jit(sampler.draw, static_argnums=2)(key, state, 64)[0]
    np.testing.assert_allclose(jitted, first, rtol=4e-6)  # log-SNRs to 20, exponentiated: 20 / 2^23 and more
    for _ in range(4):  # every one of 8 times twice at least
        t = jnp.arange(64) % 8 + 1 if name == "second_moment" else first
        losses = t.astype(float)
        moved = jax.jit(sampler.update)(state, t, losses)
        assert jax.tree.structure(moved) == jax.tree.structure(state)
        state = moved
    t, weights = sampler.draw(key, state, 20_000)
    mean = lambda t, w: float((w * t).mean())
    if name == "second_moment":
        assert float(weights.min()) < 0.7 and abs(mean(t, weights) - 4.5) < 0.05 and float(t.mean()) > 5
    else:
        np.testing.assert_array_equal(weights, 1)


def test_a_sampler_is_the_functions_that_were_there():
    key, history = jax.random.key(1), objectives.second_moment.init(8, length=2)
    t, weights = objectives.second_moment.sampler(CHAIN, length=2).draw(key, history, 5)
    again, importance = objectives.second_moment.draw(key, history, 5)
    np.testing.assert_array_equal(t, again)
    np.testing.assert_array_equal(weights, importance)
    with pytest.raises(ValueError, match="schedule must be a Chain, got a Continuous"):
        objectives.second_moment.sampler(schedules.vp_linear())


@pytest.mark.parametrize("share", [0.0, 0.001, 1.0])
def test_losses_of_zero_are_all_alike(share):
    """0 / 0: where every loss is 0, p is 1 / T; where one time alone has one, it has all but the share."""
    times = np.tile(np.arange(1, 9), 3)
    history = objectives.second_moment.init(8, length=3)
    zero = objectives.second_moment.update(history, times, jnp.zeros(24))
    np.testing.assert_allclose(objectives.second_moment.probabilities(zero, share), 1 / 8, rtol=1e-6)
    np.testing.assert_allclose(
        objectives.second_moment.draw(jax.random.key(0), zero, 9, share)[1], 1, rtol=1e-6
    )
    one = objectives.second_moment.update(history, times, jnp.asarray(times == 3, float))
    p = objectives.second_moment.probabilities(one, share)
    np.testing.assert_allclose(p[2], 1 - share + share / 8, rtol=1e-6)


def test_times_that_no_history_has_are_refused():
    full = objectives.second_moment.History(jnp.ones((8, 2)), jnp.full(8, 2))
    for times in (np.array([0]), np.array([9])):
        with pytest.raises(ValueError, match=r"times must be in \[1, 8\]"):
            objectives.second_moment.importance(full, times)
        with pytest.raises(ValueError, match=r"times must be in \[1, 8\]"):
            objectives.second_moment.update(full, times, jnp.ones(1))
    with pytest.raises(ValueError, match=r"uniform_share must be in \[0, 1\]"):
        objectives.second_moment.probabilities(full, 2.0)
