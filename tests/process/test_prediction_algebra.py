"""Every kind of prediction gives back the (x_0, eps) that made it; preconditioning has its closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.objectives import weightings
from diffjax.process import forward, prediction, schedules

CHAIN = schedules.linear_beta(1000)
SCHEDULES = {
    "chain": (CHAIN, [1, 2, 300, 1000]),
    "cosine": (schedules.cosine_beta(100), [1, 50, 99]),
    "continuous": (CHAIN.continuous(), [0.5, 1.0, 300.3, 1000.0]),
    "edm": (schedules.edm(), [0.01, 1.3, 80.0]),
    "rectified_flow": (schedules.rectified_flow(), [0.01, 0.4, 0.99]),
}


def _data(count):
    x0, eps = np.random.default_rng(0).normal(size=(2, count, 3, 2))
    return jnp.asarray(x0), jnp.asarray(eps)


def _levels(name, where):
    """Levels [B] of a schedule, and the levels just below them, from the host or the device."""
    schedule, times = SCHEDULES[name]
    times = np.array(times, np.float64)
    below = times - 1 if name in ("chain", "cosine") else 0.5 * times
    convert = np.asarray if where == "host" else jnp.asarray
    return schedule(convert(times)), schedule(convert(below))


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("kind", prediction.KINDS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_targets_are_read_back(x64, name, kind, where):
    level, below = _levels(name, where)
    if kind == "velocity" and level.d_alpha is None:
        with pytest.raises(ValueError, match="discrete chain has none"):
            prediction.target(kind, *_data(4), level)
        return
    x0, eps = _data(len(level.t))
    x_t = x0 * np.reshape(level.alpha, (-1, 1, 1)) + eps * np.reshape(level.sigma, (-1, 1, 1))
    y = prediction.target(kind, x0, eps, level, below)
    read = prediction.from_output(kind, y, x_t, level, below)
    # the information itself: x_0 and eps are known to eps_machine times the other's share of x_t, and of y
    ratio = np.max(np.asarray(level.sigma) / np.asarray(level.alpha))
    inverse = np.max(np.asarray(level.alpha) / np.asarray(level.sigma))
    np.testing.assert_allclose(read.x0, x0, atol=1e-10 * max(1, ratio / 100))
    np.testing.assert_allclose(read.eps, eps, atol=1e-10 * max(1, inverse / 100))
    assert read.variance is None


def test_targets_are_the_papers():
    """By hand, at alpha = 0.8, sigma = 0.6, x_0 = 2, eps = -1."""
    level = schedules.from_betas([0.36])(1)
    x0, eps = jnp.array([[2.0]]), jnp.array([[-1.0]])
    by_hand = {"x0": 2, "eps": -1, "v": 0.8 * -1 - 0.6 * 2, "score": 1 / 0.6}
    for kind, value in by_hand.items():
        np.testing.assert_allclose(prediction.target(kind, x0, eps, level), value, rtol=1e-6)
    flow = schedules.rectified_flow()(0.3)
    np.testing.assert_allclose(prediction.target("velocity", x0, eps, flow), -3, rtol=1e-6)


ENDS = [
    ("x0", 0.0), ("eps", 0.0), ("v", 0.0), ("velocity", 0.0),
    ("x0", 1.0), ("v", 1.0), ("velocity", 1.0), ("mean", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "t"), ENDS)
def test_ends_of_the_path(x64, kind, t):
    """At sigma = 0 every kind sees x_0; at alpha = 0 all but eps and score give both."""
    schedule = schedules.rectified_flow()
    level, below = schedule(t), schedule(0.5 * t)
    x0, eps = _data(2)
    x_t = level.alpha * x0 + level.sigma * eps
    read = prediction.from_output(kind, prediction.target(kind, x0, eps, level, below), x_t, level, below)
    np.testing.assert_allclose(read.x0, x0, atol=1e-12)
    # x_t = x_0 says nothing of eps: the x0 kind reports none
    np.testing.assert_allclose(read.eps, 0 * eps if (kind, t) == ("x0", 0.0) else eps, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4000])
def test_mean_is_read_in_float32_as_well_as_its_digits_allow(n):
    """x_0 = (mean - A x_t) / B: one rounding of the mean is eps_32 / B in x_0, and no more."""
    chain = schedules.linear_beta(4000)
    level, below = chain(n), chain(n - 1)
    x0, eps = (np.float32(a) for a in np.random.default_rng(1).normal(size=(2, 1000, 1)))
    pair = forward.pair(below, level)
    x_t = np.float32(level.alpha * x0 + level.sigma * eps)
    y = prediction.target("mean", x0, eps, level, below)
    read = prediction.from_output("mean", y, jnp.asarray(x_t), level, below)
    size = np.abs(x_t).max() + np.abs(y).max()
    assert np.abs(read.x0 - x0).max() <= 2e-7 * size / pair.mean_x0


def test_learned_variance_channels():
    level = CHAIN(10)
    x = jnp.ones((2, 4, 4, 3))
    output = jnp.concatenate([2 * x, 3 * x], -1)
    read = prediction.from_output("x0", output, x, level)
    assert (read.x0 == 2).all() and (read.variance == 3).all()
    with pytest.raises(ValueError, match="must give 3 or 6 channels"):
        prediction.from_output("x0", jnp.ones((2, 4, 4, 5)), x, level)


def test_reads_of_a_prediction(x64):
    level = CHAIN(300)
    x0, eps = _data(2)
    x_t = level.alpha * x0 + level.sigma * eps
    one = prediction.from_x0(x0, x_t, level)
    other = prediction.from_eps(eps, x_t, level)
    np.testing.assert_allclose(one.eps, eps, atol=1e-12)
    np.testing.assert_allclose(other.x0, x0, atol=1e-12)
    np.testing.assert_allclose(prediction.tweedie(prediction.score(one, level), x_t, level), x0, atol=1e-12)


def test_velocity_is_the_derivative_of_the_path(x64):
    x0, eps = _data(2)
    for name, t in [("continuous", 300.3), ("edm", 1.3), ("rectified_flow", 0.4)]:
        schedule = SCHEDULES[name][0]

        def path(t, schedule=schedule):
            level = schedule(t)
            return level.alpha * x0 + level.sigma * eps

        slope = jax.jvp(path, (jnp.float64(t),), (jnp.float64(1.0),))[1]
        ours = prediction.velocity(prediction.Prediction(x0, eps), schedule(t))
        np.testing.assert_allclose(ours, slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "options", "message"), [
    ("epsilon", {}, "kind must be one of"), ("mean", {}, "give previous"),
])  # fmt: skip
def test_denoiser_refuses(kind, options, message):
    with pytest.raises(ValueError, match=message):
        prediction.denoiser(lambda x, t, cond: x, kind, **options)


def test_denoiser_hands_on_time_and_condition():
    seen = {}

    def network(x, t, cond):
        seen.update(t=t, cond=cond)
        return x

    denoise = prediction.denoiser(network, "eps")
    denoise(jnp.ones((3, 2)), CHAIN(7), "cat")
    assert seen["cond"] == "cat" and seen["t"].dtype == jnp.float32
    np.testing.assert_array_equal(seen["t"], [7, 7, 7])
    denoise(jnp.ones((3, 2)), CHAIN(np.array([1, 5, 9])))
    np.testing.assert_array_equal(seen["t"], [1, 5, 9])


@pytest.mark.parametrize("sigma", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_edm_preconditioning_keeps_unit_variance(sigma, sigma_data):
    """Karras et al. 2022, app. B.6: Var(c_in y) = Var(target of F) = lambda c_out^2 = 1."""
    level = schedules.edm()(sigma)
    c = prediction.edm_preconditioning(sigma_data)(level)
    total = sigma**2 + sigma_data**2
    np.testing.assert_allclose(c.c_in**2 * total, 1, rtol=1e-12)
    target = ((1 - c.c_skip) ** 2 * sigma_data**2 + c.c_skip**2 * sigma**2) / c.c_out**2
    np.testing.assert_allclose(target, 1, rtol=1e-12)
    weight = weightings.edm(sigma_data)(level)
    np.testing.assert_allclose(weight, total / (sigma * sigma_data) ** 2, rtol=1e-5)
    np.testing.assert_allclose(weight * c.c_out**2, 1, rtol=1e-5)
    np.testing.assert_allclose(c.c_noise, np.log(sigma) / 4, rtol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_network_is_exact_for_gaussian_data(x64, name):
    """F* = 0 for data N(0, sigma_data^2), on any schedule."""
    level, _ = _levels(name, "host")
    seen = {}

    def network(x, t, cond):
        seen["t"] = t
        return jnp.zeros_like(x)

    denoise = prediction.preconditioned(network, prediction.edm_preconditioning(0.7))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(len(level.t), 3)))
    read = denoise(x, level)
    alpha, sigma = (np.reshape(a, (-1, 1)) for a in (level.alpha, level.sigma))
    total = alpha**2 * 0.49 + sigma**2
    np.testing.assert_allclose(read.x0, alpha * 0.49 / total * x, rtol=1e-9)
    np.testing.assert_allclose(read.eps, sigma / total * x, rtol=1e-7)
    np.testing.assert_allclose(seen["t"], np.log(level.sigma / level.alpha) / 4, rtol=1e-12)


def test_a_mean_is_read_on_device_as_the_documents_say():
    """T = 4000: rounding x_t and the output alone loses 6.4e-3 in x_0, float32 levels a little more."""
    chain, n = schedules.linear_beta(4000, 2.5e-5, 0.005), np.arange(1, 4001)
    rng = np.random.default_rng(0)
    x0, eps = rng.uniform(-1, 1, (4000, 64)), rng.normal(size=(4000, 64))
    level = chain(n)
    pair = forward.pair(chain(n - 1), level)
    x_t = level.alpha[:, None] * x0 + level.sigma[:, None] * eps
    mean = jnp.asarray(pair.mean_xt[:, None] * x_t + pair.mean_x0[:, None] * x0, jnp.float32)
    read = jax.jit(lambda y, x, n: prediction.from_output("mean", y, x, chain(n), chain(n - 1)))
    found = read(mean, jnp.asarray(x_t, jnp.float32), jnp.asarray(n))
    assert np.abs(np.asarray(found.x0, np.float64) - x0).max() < 1e-2
    # where variance is not preserved, from the differences of sigma
    chain, n = schedules.geometric(50.0, 0.01, 200), np.arange(2, 201)
    x0, eps = x0[:199], eps[:199]
    level = chain(n)
    pair = forward.pair(chain(n - 1), level)
    x_t = x0 + level.sigma[:, None] * eps
    mean = jnp.asarray(pair.mean_xt[:, None] * x_t + pair.mean_x0[:, None] * x0, jnp.float32)
    read = jax.jit(lambda y, x, n: prediction.from_output("mean", y, x, chain(n), chain(n - 1)))
    found = read(mean, jnp.asarray(x_t, jnp.float32), jnp.asarray(n))
    # some roundings of x_t, up to 4 sigma, each 6e-8 of it, and those of two log SNRs of up to 9, over B = c
    error = np.abs(np.asarray(found.x0, np.float64) - x0).max(1)
    assert (error < (3e-7 * (1 + 4 * level.sigma) + 1e-6) / pair.mean_x0).all()
