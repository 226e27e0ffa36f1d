"""Bits per dimension of continuous schedules: Gaussian images whose numbers are closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.data import to_model
from diffjax.evaluation import bound, likelihood
from diffjax.process import schedules
from diffjax.process.prediction import from_x0

STD = 0.3
IMAGES = np.clip(
    np.rint(127.5 * (1 + STD * np.random.default_rng(0).standard_normal((40, 4, 4, 1)))), 0, 255
).astype(np.uint8)
LABELS = np.arange(40) % 2
KEY = jax.random.key(1)


def _exact(std):
    """The denoiser of N(0, std^2), as params -> Denoiser."""

    def denoise(x, level, cond):
        alpha, sigma = (jnp.reshape(jnp.asarray(each), (-1, 1, 1, 1)) for each in (level.alpha, level.sigma))
        return from_x0(alpha * std**2 / (alpha**2 * std**2 + sigma**2) * x, x, level)

    return denoise


def _bits(std):
    """-log2 N(x; 0, std^2) a dimension, averaged over the bin of each pixel, less the bin's width."""
    x, width = np.asarray(to_model(IMAGES), np.float64), 2 / 255
    nats = 0.5 * (x**2 + width**2 / 12) / std**2 + 0.5 * np.log(2 * np.pi * std**2) - np.log(width)
    return nats.mean(axis=(1, 2, 3)) / np.log(2)


@pytest.mark.parametrize("name", ["vp_linear", "sub_vp", "ve", "edm", "rectified_flow"])
def test_a_gaussian_has_the_bits_of_its_density(name):
    """The density is that at t_min, N(0, alpha^2 std^2 + sigma^2); rounding of the bins is averaged out."""
    schedule = getattr(schedules, name)()
    found = likelihood.measure_likelihood(
        lambda params: _exact(params), jnp.float32(STD), schedule, IMAGES, key=KEY, batch_size=32, steps=32,
        progress=None,
    )  # fmt: skip
    first = schedule(schedule.t_min)
    exact = _bits(np.sqrt(first.alpha**2 * STD**2 + first.sigma**2))
    assert found["count"] == 40 and found["steps"] == 32
    # one uniform draw in a bin of 2/255 at up to 4 std: 1e-2 nats a pixel at most, over 640 pixels
    assert abs(found["bits_per_dim"] - exact.mean()) < 2e-3
    np.testing.assert_allclose(found["standard_error"], exact.std(ddof=1) / np.sqrt(40), rtol=2e-2)


def test_labels_reach_the_denoiser():
    by_label = lambda params: (
        lambda x, level, cond: _exact(jnp.where(cond == 0, STD, 2 * STD).reshape(-1, 1, 1, 1))(x, level, None)
    )
    found = likelihood.measure_likelihood(
        by_label, (), schedules.vp_linear(), IMAGES, LABELS, key=KEY, batch_size=40, steps=32, progress=None
    )
    exact = np.where(LABELS == 0, _bits(STD), _bits(2 * STD))
    assert abs(found["bits_per_dim"] - exact.mean()) < 2e-3


def test_the_bound_in_continuous_time_is_that_of_the_exact_denoiser():
    """A denoiser that knows the answer pays the prior and the reconstruction; padding is not counted."""
    knows = lambda params: lambda x, level, cond: from_x0(params[cond], x, level)
    schedule = schedules.log_snr_linear()
    measure = lambda size: bound.measure_continuous_bound(
        knows, to_model(IMAGES), lambda params: schedule, IMAGES, np.arange(40), key=KEY, draws=2,
        batch_size=size, progress=None,
    )  # fmt: skip
    found = measure(40)
    assert found["count"] == 40 and found["draws"] == 2
    assert abs(found["diffusion"]) < 1e-4
    parts = found["prior"] + found["reconstruction"] + found["diffusion"]
    np.testing.assert_allclose(found["bits_per_dim"], parts, rtol=1e-5)
    x, last = np.asarray(to_model(IMAGES), np.float64), schedule(np.float64(1.0))
    prior = 0.5 * (last.alpha**2 * x**2 + last.sigma**2 - 1 - np.log(last.sigma**2))
    np.testing.assert_allclose(found["prior"], prior.mean() / np.log(2), rtol=1e-4)
    np.testing.assert_allclose(measure(32)["prior"], found["prior"], rtol=1e-6)


@pytest.mark.parametrize("steps", [10, 40])
def test_the_diffusion_part_in_steps_is_a_sum(steps):
    """The same squared error of eps (below), at the upper end of each step."""
    schedule = schedules.log_snr_linear(13.3, -10.0)
    found = bound.measure_continuous_bound(
        lambda params: _exact(STD), (), lambda params: schedule, IMAGES, key=KEY, num_steps=steps, draws=200,
        batch_size=40, progress=None,
    )  # fmt: skip
    level = schedule((1 + np.arange(steps)) / steps)
    expected = 0.5 * np.sum(np.expm1(23.3 / steps) * _eps_error(level)) / np.log(2)
    assert found["num_steps"] == steps
    np.testing.assert_allclose(found["diffusion"], expected, rtol=2e-2)


def _eps_error(level):
    """The error of eps is (alpha^2 s^2 eps - alpha sigma x) / v, v = alpha^2 s^2 + sigma^2, for N(0, s^2)."""
    v, x = level.alpha**2 * STD**2 + level.sigma**2, np.asarray(to_model(IMAGES), np.float64)
    return (level.alpha**2 * STD**2 / v) ** 2 + (level.alpha * level.sigma / v) ** 2 * (x**2).mean()


def test_the_diffusion_part_of_a_gaussian_is_a_quadrature():
    schedule = schedules.log_snr_linear(13.3, -10.0)
    found = bound.measure_continuous_bound(
        lambda params: _exact(STD), (), lambda params: schedule, IMAGES, key=KEY, draws=100, batch_size=40,
        progress=None,
    )  # fmt: skip
    level = schedule((np.arange(4000) + 0.5) / 4000)
    expected = 0.5 * 23.3 * _eps_error(level).mean() / np.log(2)
    # 64,000 squared errors of noise, times spread evenly
    np.testing.assert_allclose(found["diffusion"], expected, rtol=2e-2)


def test_mistakes():
    with pytest.raises(ValueError, match="a likelihood needs d alpha/dt"):
        likelihood.measure_likelihood(_exact, STD, schedules.cosine_beta(10), IMAGES, key=KEY)
    with pytest.raises(ValueError, match="at least 2 of uint8"):
        likelihood.measure_likelihood(_exact, STD, schedules.vp_linear(), IMAGES / 255.0, key=KEY)
