"""The array functions of process/ under jit, vmap, pmap, in both precisions."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.process import forward, gaussian, preconditioning, prediction, schedules, sde

CHAIN = schedules.linear_beta(1000)
REAL = CHAIN.continuous()


def _pair(n):
    return CHAIN(n - 1), CHAIN(n)


def _read(kind, schedule, x, y, n):
    level = schedule(n)
    return prediction.from_output(kind, prediction.target(kind, x, y, level), y, level)


def _mean(x, y, n):
    below, level = _pair(n)
    return prediction.from_output("mean", prediction.target("mean", x, y, level, below), y, level, below)


def _fields(x, y, n):
    level = REAL(n)
    predicted = prediction.Prediction(x, y)
    return (
        prediction.score(predicted, level),
        prediction.tweedie(x, y, level),
        prediction.velocity(predicted, level),
    )


def _reverse(variance, x, y, n):
    below, level = _pair(n)
    predicted = prediction.Prediction(x, y, jnp.tanh(y))
    return forward.reverse(predicted, y, below, level, variance, CHAIN.floor())


def _gaussians(x, y, n):
    g, pixels = gaussian.Gaussian(x, y - 5), jnp.round(x) / 2
    discretized = [gaussian.discretized_log_prob(g, pixels, cdf) for cdf in ("tanh", "exact")]
    other = gaussian.Gaussian(y, x)
    return gaussian.kl(gaussian.Gaussian(x, y), other), gaussian.log_prob(other, x), discretized


CONTINUOUS = [schedules.vp_linear(), schedules.sub_vp(), schedules.ve(), schedules.vp_cosine(s=0.008)]


def _equation(schedule, x, y, t):
    level = schedule(0.9 * t)
    scales = prediction.edm_preconditioning()(level)
    return (
        sde.reverse_drift(schedule, y, x, 0.9 * t),
        sde.probability_flow(schedule, y, x, 0.9 * t),
        preconditioning.target(x, y, level, scales),
    )


# (x, y, n) -> arrays, for x, y [B, ...] and n [B] in 1..T
FUNCTIONS = {
    "forward": lambda x, y, n: (
        forward.perturb(x, y, CHAIN(n)),
        forward.marginal(x, CHAIN(n)),
        forward.transition(x, *_pair(n)),
        forward.posterior(x, y, *_pair(n)).mean,
    ),
    "reverse": lambda x, y, n: [_reverse(variance, x, y, n) for variance in forward.VARIANCES],
    "chain's kinds": lambda x, y, n: [_read(kind, CHAIN, x, y, n) for kind in ("x0", "eps", "v", "score")],
    "mean": _mean,
    "fields": _fields,
    "velocity": lambda x, y, n: (
        _read("velocity", REAL, x, y, n), sde.drift(REAL, x, n), sde.diffusion(REAL, n)
    ),
    "gaussians": _gaussians,
    "continuous time": lambda x, y, n: [_equation(schedule, x, y, n / 1000) for schedule in CONTINUOUS],
}  # fmt: skip
# Of the largest entry. Levels of host times are float64; what is left is the division of x_0 by alpha_T,
# 6e-8 / 0.0064 to a side. On the device log SNR carries 1e-6, and a pair of levels its difference.
HOST_TOLERANCE, DEVICE_TOLERANCE = 2e-5, 3e-4


def _inputs(dtype):
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 8, 3, 2))
    return jnp.asarray(x, dtype), jnp.asarray(y, dtype), jnp.array([2, 5, 40, 300, 500, 800, 999, 1000])


def _compare(ours, theirs, tolerance):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        b = np.asarray(b, np.float64)
        a = np.asarray(a, np.float64).reshape(b.shape)
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(), rtol=0)


@pytest.fixture(scope="module", params=[("float32", 2e-5), ("float64", 1e-12)], ids=["float32", "float64"])
def precision(request):
    """Return a dtype and its tolerance; all tests of one come before those of the other."""
    jax.clear_caches()  # a trace left by vmap in the other precision would be used again, with its rounding
    gc.collect()
    return request.param


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_vmap_and_pmap_are_the_plain_function(name, precision):
    dtype, tolerance = precision
    with jax.enable_x64(dtype == "float64"):
        function, (x, y, n) = FUNCTIONS[name], _inputs(dtype)
        plain = function(x, y, n)
        assert all(a.dtype == dtype for a in jax.tree.leaves(plain))
        _compare(jax.jit(function)(x, y, n), plain, tolerance)
        one = lambda x, y, n: function(x[None], y[None], n)
        _compare(jax.jit(jax.vmap(one))(x, y, n), plain, tolerance)
        shards = jax.tree.map(lambda a: a.reshape(8, 1, *a.shape[1:]), (x, y, n))
        _compare(jax.pmap(function)(*shards), plain, tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_float64_within_the_tolerance(name):
    function, (x, y, n) = FUNCTIONS[name], _inputs(jnp.float32)
    device, host = function(x, y, n), function(x, y, np.asarray(n))
    with jax.enable_x64(True):
        exact = function(x.astype(jnp.float64), y.astype(jnp.float64), np.asarray(n))
        assert all(a.dtype == jnp.float64 for a in jax.tree.leaves(exact))
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(device))
    _compare(device, exact, DEVICE_TOLERANCE)
    _compare(host, exact, HOST_TOLERANCE)


def test_same_key_same_sample():
    g = gaussian.Gaussian(jnp.zeros((4, 3)), 0.0)
    one, again, other = (gaussian.sample(jax.random.key(s), g) for s in (0, 0, 1))
    assert (one == again).all() and (one != other).all()
    np.testing.assert_allclose(jax.jit(gaussian.sample)(jax.random.key(0), g), one, rtol=1e-6)
