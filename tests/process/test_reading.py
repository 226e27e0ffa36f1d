"""One Reading for loss and denoiser: what it asks of the network, trains and reads is one thing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import objectives
from diffjax.objectives import weightings
from diffjax.process import prediction, schedules

CHAIN, FLOW, EDM, VP = (
    schedules.linear_beta(1000),
    schedules.rectified_flow(),
    schedules.edm(),
    schedules.vp_linear(),
)
READINGS = {
    "x0": (prediction.reading("x0"), CHAIN, [3, 400]),
    "eps": (prediction.reading("eps"), CHAIN, [3, 400]),
    "v": (prediction.reading("v"), VP, [0.1, 0.8]),
    "score": (prediction.reading("score"), EDM, [0.3, 4.0]),
    "velocity": (prediction.reading("velocity"), FLOW, [0.2, 0.9]),
    "mean": (prediction.reading("mean", previous=CHAIN.step_before), CHAIN, [3, 400]),
    "gamma": (prediction.reading("eps", ask=lambda level: -level.log_snr), VP, [0.1, 0.8]),
    "edm": (prediction.reading_of(prediction.edm_preconditioning(0.7)), EDM, [0.3, 4.0]),
    "ve_form": (prediction.reading_of(prediction.ve_preconditioning()), EDM, [0.3, 4.0]),
    "vp_form": (prediction.reading_of(prediction.vp_preconditioning(VP)), VP, [0.1, 0.8]),
    "iddpm_form": (prediction.reading_of(prediction.iddpm_preconditioning(CHAIN)), CHAIN, [3, 400]),
}


def _network(x, t, cond):
    return jnp.tanh(x) + 0.1 * jnp.cos(t)[:, None]


def _setting(name):
    reading, schedule, times = READINGS[name]
    x0, eps = np.random.default_rng(0).normal(size=(2, 2, 3))
    level = schedule(np.array(times))
    return reading, level, jnp.asarray(x0), jnp.asarray(eps)


@pytest.mark.parametrize("name", READINGS)
def test_what_is_trained_is_what_is_read(x64, name):
    """A network that gives its target has no loss, and its denoiser gives x_0 and eps."""
    reading, level, x0, eps = _setting(name)
    wanted = reading.target(x0, eps, level)
    loss, aux = objectives.denoising(lambda x, t, cond: wanted, x0, eps, level, reading=reading)
    np.testing.assert_array_equal(loss, 0)
    read = reading.denoiser(lambda x, t, cond: wanted)(aux["x_t"], level)
    np.testing.assert_allclose(read.x0, x0, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(read.eps, eps, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", READINGS)
def test_a_weight_is_one_of_the_error_that_the_denoiser_makes(x64, name):
    reading, level, x0, eps = _setting(name)
    weighting = lambda level: 1.0 + level.sigma
    loss, aux = objectives.denoising(_network, x0, eps, level, reading=reading, weighting=weighting)
    x0_hat = reading.denoiser(_network)(aux["x_t"], level).x0
    np.testing.assert_allclose(loss, (1 + level.sigma) * ((x0 - x0_hat) ** 2).mean(1), rtol=1e-7)


@pytest.mark.parametrize("name", READINGS)
def test_the_error_of_x0_is_the_derivative(x64, name):
    reading, level, x0, eps = _setting(name)
    y = reading.target(x0, eps, level)
    _, slope = jax.jvp(lambda y: reading.read(y, x0 + eps, level).x0, (y,), (jnp.ones_like(y),))
    wanted = np.broadcast_to(np.reshape(reading.x0_error(level), (-1, 1)), slope.shape)
    np.testing.assert_allclose(abs(slope), abs(wanted), rtol=1e-7)


def test_the_error_of_x0_is_not_finite_where_the_output_says_nothing_of_it():
    """At alpha = 0, which is asked before a grid that begins there is walked."""
    level = FLOW(1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        blind = {kind: not np.isfinite(prediction.reading(kind).x0_error(level)) for kind in ("eps", "score")}
        inside = prediction.reading_of(prediction.edm_preconditioning()).x0_error(level)
    assert blind == {"eps": True, "score": True} and not np.isfinite(inside)
    assert all(np.isfinite(prediction.reading(kind).x0_error(level)) for kind in ("x0", "v", "velocity"))


def test_what_the_network_is_asked():
    reading, level, x0, _ = _setting("gamma")
    x, t = reading.ask(level, jnp.asarray(x0, jnp.float32))
    np.testing.assert_array_equal(x, jnp.asarray(x0, jnp.float32))
    np.testing.assert_allclose(t, -level.log_snr, rtol=1e-6)
    inside, level, *_ = _setting("edm")
    x, t = inside.ask(level, jnp.ones((2, 3)))
    np.testing.assert_allclose(x, np.ones((2, 3)) / np.sqrt(level.sigma**2 + 0.49)[:, None], rtol=1e-6)
    np.testing.assert_allclose(t, np.log(level.sigma) / 4, rtol=1e-6)


@pytest.mark.parametrize("name", ["eps", "mean", "gamma"])
def test_thin_wrappers_are_the_reading(name):
    reading, level, x0, eps = _setting(name)
    x = jnp.asarray(x0 + eps, jnp.float32)
    options = {"gamma": {"label": lambda level: -level.log_snr}, "mean": {"previous": CHAIN.step_before}}
    kind = name if name != "gamma" else "eps"
    other = prediction.denoiser(_network, kind, **options.get(name, {}))(x, level)
    for ours, theirs in zip(reading.denoiser(_network)(x, level)[:2], other):
        np.testing.assert_array_equal(ours, theirs)


def test_losses_of_the_bound_take_readings():
    reading, level, x0, eps = _setting("mean")
    x0, eps, below = jnp.clip(x0, -1, 1), jnp.asarray(eps), CHAIN(np.array([2, 399]))
    twice = lambda x, t, cond: jnp.concatenate([_network(x, t, cond), 0.1 * x], -1)
    for make, options in ((objectives.bound, {}), (objectives.hybrid, {"bound_weight": 0.1})):
        ours, _ = make(twice, x0, eps, level, level_s=below, reading=reading, **options)
        theirs, _ = make(twice, x0, eps, level, level_s=below, kind="mean", **options)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_reading_and_a_kind_are_one_too_many():
    reading, level, x0, eps = _setting("eps")
    with pytest.raises(ValueError, match="give one of reading and kind, got both, and kind='v'"):
        objectives.denoising(_network, x0, eps, level, reading=reading, kind="v")
    with pytest.raises(ValueError, match="kind must be one of x0, eps, v"):
        prediction.reading("epsilon")
    with pytest.raises(ValueError, match="kind 'mean' belongs to a pair"):
        prediction.reading("mean")


def test_the_weight_of_another_shape_is_refused():
    reading, level, x0, eps = _setting("eps")
    with pytest.raises(ValueError, match=r"weighting\(level\) must be a scalar or \[B\]"):
        objectives.denoising(
            _network, x0, eps, level, reading=reading, weighting=lambda level: jnp.ones((2, 1))
        )
    assert np.isfinite(
        objectives.denoising(_network, x0, eps, level, reading=reading, weighting=weightings.snr())[0]
    ).all()
