"""Bits per dimension of images: closed forms, and no number that depends on the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest

from diffjax.data import Source, to_model
from diffjax.evaluation import bits, likelihood
from diffjax.evaluation.dequantiser import UNIFORM
from diffjax.likelihoods import continuous_elbo, elbo
from diffjax.process import schedules
from diffjax.process.prediction import Prediction, from_x0

STD, KEY = 0.3, jax.random.key(1)
CHAIN = schedules.cosine_beta(12)


def _source(pixels, labels=None, classes=2):
    return Source(pixels, labels, None if labels is None else classes, "test")


ANY = _source(
    np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8), np.arange(5, dtype=np.int32), 5
)
NORMAL = _source(
    np.clip(
        np.rint(127.5 * (1 + STD * np.random.default_rng(0).standard_normal((40, 4, 4, 1)))), 0, 255
    ).astype(np.uint8),
    (np.arange(40) % 2).astype(np.int32),
)
PIXELS = np.asarray(to_model(NORMAL.x), np.float64)


def _by_index(x, cond):
    return jnp.reshape(jnp.asarray(cond), (-1,) + (1,) * (x.ndim - 1))


def _knows(x0):
    """A denoiser that knows the images it is asked about by their label."""
    return lambda params: lambda x, level, cond: from_x0(jnp.asarray(x0)[cond], x, level)


def _exact(std):
    """The denoiser of N(0, std^2)."""

    def denoise(x, level, cond):
        alpha, sigma = (jnp.reshape(jnp.asarray(each), (-1, 1, 1, 1)) for each in (level.alpha, level.sigma))
        return from_x0(alpha * std**2 / (alpha**2 * std**2 + sigma**2) * x, x, level)

    return denoise


def _bound(denoise, variance="fixed_small"):
    """The measure of a chain's bound."""

    def measure(variables, key, batch):
        found = elbo.bits_per_dim(
            key, denoise(variables), CHAIN, batch["x"], cond=batch.get("label"), variance=variance
        )
        return {"bits_per_dim": found["total"], **{n: found[n] for n in ("prior", "terms", "x0_mse")}}

    measure.how = {"variance": variance}
    return measure


def _continuous(denoise, schedule, **options):
    def measure(variables, key, batch):
        found = continuous_elbo.bits_per_dim(
            key, denoise(variables), schedule, batch["x"], cond=batch.get("label"), **options
        )
        return {"bits_per_dim": found.pop("total"), **found}

    return measure


def test_parts_add_up_and_a_denoiser_that_knows_the_answer_pays_no_transition():
    """Its transitions are the posterior itself: only the prior and the decoder cost bits."""
    found = bits.measure_bits(_bound(_knows(to_model(ANY.x))), (), ANY, key=KEY)
    assert found["count"] == 5 and len(found["terms"]) == 12 and found["variance"] == "fixed_small"
    assert abs(found["between"]) < 1e-5
    np.testing.assert_allclose(found["bits_per_dim"], found["prior"] + found["decoder"], atol=1e-5)
    np.testing.assert_allclose(found["x0_mse"], 0, atol=1e-10)


def test_an_image_is_measured_with_its_own_noise_whatever_the_batches():
    """One denoiser that shrinks: every term depends on the noise."""
    measure = _bound(lambda params: lambda x, level, cond: Prediction(params * x, x), "fixed_large")
    key = jax.random.key(3)
    several = [
        bits.measure_bits(measure, jnp.float32(0.5), ANY, key=key, batch_size=size) for size in (5, 2, 99)
    ]
    for again in several[1:]:
        np.testing.assert_allclose(again["terms"], several[0]["terms"], rtol=1e-5)
    shrink = lambda x, level, cond: Prediction(0.5 * x, x)
    each = [
        elbo.bits_per_dim(
            jax.random.fold_in(key, i), shrink, CHAIN, to_model(ANY.x[i : i + 1]), variance="fixed_large"
        )["total"][0]
        for i in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(several[0]["bits_per_dim"], np.mean(each), rtol=1e-5)
    np.testing.assert_allclose(several[0]["standard_error"], np.std(each, ddof=1) / np.sqrt(5), rtol=1e-4)


def test_images_that_are_not_counted_in_bits_are_refused():
    floats = _source(np.zeros((3, 4, 4, 1), np.float32))
    for source, given in ((floats, "3 of float32"), (_source(ANY.x[:1]), "1 of uint8")):
        with pytest.raises(
            ValueError, match=f"at least 2 of uint8, whose 256 values are counted; got {given}"
        ):
            bits.measure_bits(None, (), source, key=KEY)


def _bits(std):
    """-log2 N(x; 0, std^2) a dimension, averaged over the bin of each pixel, less the bin's width."""
    width = 2 / 255
    nats = 0.5 * (PIXELS**2 + width**2 / 12) / std**2 + 0.5 * np.log(2 * np.pi * std**2) - np.log(width)
    return nats.mean(axis=(1, 2, 3)) / np.log(2)


def _by_the_ode(system, variables, source, **options):
    measure = likelihood.measure(system, variables, UNIFORM, steps=32)
    return bits.measure_bits(measure, (variables, UNIFORM.params), source, key=KEY, **options)


@pytest.mark.parametrize("name", ["vp_linear", "sub_vp", "ve", "edm", "rectified_flow"])
def test_a_gaussian_has_the_bits_of_its_density(name):
    """The density is that at t_min, N(0, alpha^2 std^2 + sigma^2); rounding of the bins is averaged out."""
    schedule = getattr(schedules, name)()
    system, variables = plain_systems.denoising(_exact, schedule), plain_systems.variables(jnp.float32(STD))
    found = _by_the_ode(system, variables, NORMAL, batch_size=32)
    first = schedule(schedule.t_min)
    exact = _bits(np.sqrt(first.alpha**2 * STD**2 + first.sigma**2))
    assert found["count"] == 40 and found["steps"] == 32 and found["dequantisation"] == "uniform"
    # one uniform draw in a bin of 2/255 at up to 4 std: 1e-2 nats a pixel at most, over 640 pixels
    assert abs(found["bits_per_dim"] - exact.mean()) < 2e-3
    np.testing.assert_allclose(found["standard_error"], exact.std(ddof=1) / np.sqrt(40), rtol=2e-2)


def test_labels_reach_the_denoiser():
    by_label = lambda params: (
        lambda x, level, cond: _exact(_by_index(x, jnp.where(cond == 0, STD, 2 * STD)))(x, level, None)
    )
    system = plain_systems.denoising(by_label, schedules.vp_linear(), labelled=True)
    found = _by_the_ode(system, plain_systems.variables(), NORMAL)
    exact = np.where(NORMAL.label == 0, _bits(STD), _bits(2 * STD))
    assert abs(found["bits_per_dim"] - exact.mean()) < 2e-3


def test_chains_and_latents_have_no_likelihood_by_the_ode():
    variables = plain_systems.variables()
    assert not likelihood.possible(plain_systems.denoising(_exact, CHAIN), variables)
    assert not likelihood.possible(plain_systems.make(), variables)
    in_latents = plain_systems.denoising(_exact, schedules.vp_linear(), codec=lambda v: None)
    assert not likelihood.possible(in_latents, variables)
    with pytest.raises(ValueError, match="a likelihood needs d alpha/dt"):
        likelihood.measure(plain_systems.denoising(_exact, CHAIN), variables)


def test_the_bound_in_continuous_time_is_that_of_the_exact_denoiser():
    """A denoiser that knows the answer pays the prior and the reconstruction; padding is not counted."""
    own = _source(NORMAL.x, np.arange(40, dtype=np.int32), 40)
    schedule = schedules.log_snr_linear()
    measure = _continuous(_knows(to_model(own.x)), schedule, draws=2)
    found = bits.measure_bits(measure, (), own, key=KEY, batch_size=40)
    assert abs(found["diffusion"]) < 1e-4
    parts = found["prior"] + found["reconstruction"] + found["diffusion"]
    np.testing.assert_allclose(found["bits_per_dim"], parts, rtol=1e-5)
    last = schedule(np.float64(1.0))
    prior = 0.5 * (last.alpha**2 * PIXELS**2 + last.sigma**2 - 1 - np.log(last.sigma**2))
    np.testing.assert_allclose(found["prior"], prior.mean() / np.log(2), rtol=1e-4)
    again = bits.measure_bits(measure, (), own, key=KEY, batch_size=32)
    np.testing.assert_allclose(again["bits_per_dim"], found["bits_per_dim"], rtol=1e-6)


def _eps_error(level):
    """The error of eps is (alpha^2 s^2 eps - alpha sigma x) / v, v = alpha^2 s^2 + sigma^2, for N(0, s^2)."""
    v = level.alpha**2 * STD**2 + level.sigma**2
    return (level.alpha**2 * STD**2 / v) ** 2 + (level.alpha * level.sigma / v) ** 2 * (PIXELS**2).mean()


@pytest.mark.parametrize("steps", [10, 40])
def test_the_diffusion_part_in_steps_is_a_sum(steps):
    """The same squared error of eps, at the upper end of each step."""
    schedule = schedules.log_snr_linear(13.3, -10.0)
    measure = _continuous(lambda params: _exact(STD), schedule, num_steps=steps, draws=200)
    found = bits.measure_bits(measure, (), NORMAL, key=KEY)
    level = schedule((1 + np.arange(steps)) / steps)
    expected = 0.5 * np.sum(np.expm1(23.3 / steps) * _eps_error(level)) / np.log(2)
    np.testing.assert_allclose(found["diffusion"], expected, rtol=2e-2)


def test_the_diffusion_part_of_a_gaussian_is_a_quadrature():
    schedule = schedules.log_snr_linear(13.3, -10.0)
    measure = _continuous(lambda params: _exact(STD), schedule, draws=200)
    found = bits.measure_bits(measure, (), NORMAL, key=KEY)
    level = schedule((np.arange(4000) + 0.5) / 4000)
    expected = 0.5 * 23.3 * _eps_error(level).mean() / np.log(2)
    # 128,000 squared errors of noise
    np.testing.assert_allclose(found["diffusion"], expected, rtol=2e-2)
