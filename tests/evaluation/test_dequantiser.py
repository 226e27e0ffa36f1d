"""Fitted dequantisation where every code has a known probability: pixels of a mixture of narrow Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest
from reference import thorough
from scipy import stats

from diffjax import exact
from diffjax.data import Source
from diffjax.evaluation import bits, dequantiser, likelihood
from diffjax.likelihoods import dequantisation
from diffjax.models.dequantiser import ConvDequantiser
from diffjax.process import schedules
from diffjax.process.prediction import Prediction

BIN = 2 / 255
WEIGHTS, CODES, OFFSETS, STD = [0.3, 0.3, 0.4], np.array([60, 61, 200]), [-0.2, 0.25, 0.1], 0.15 * BIN
MEANS = CODES / 127.5 - 1 + np.array(OFFSETS) * BIN  # off the middle of their bins, next to one another
MIXTURE = exact.gaussian_mixture(WEIGHTS, MEANS[:, None], np.full(3, STD**2))
KEY = jax.random.key(1)


def _images(seed, count):
    rng = np.random.default_rng(seed)
    mode = rng.choice(3, (count, 2, 2, 1), p=WEIGHTS)
    return np.rint(127.5 * (1 + MEANS[mode] + STD * rng.standard_normal(mode.shape))).astype(np.uint8)


TRAIN, HELD_OUT = _images(0, 400), _images(1, 200)


def _exact(params):
    """The denoiser of images whose pixels are independent points of the mixture."""

    def denoise(x, level, cond):
        each = lambda field: jnp.repeat(jnp.broadcast_to(jnp.asarray(field, x.dtype), (len(x),)), 4)
        found = MIXTURE.predict(x.reshape(-1, 1), jax.tree.map(each, level))
        return Prediction(found.x0.reshape(x.shape), found.eps.reshape(x.shape))

    return denoise


def _bits(schedule):
    """-log2 of the held-out codes' probabilities under the mixture at the schedule's least noise, mean."""
    level, x = schedule(schedule.t_min), HELD_OUT / 127.5 - 1
    std = np.sqrt(level.alpha**2 * STD**2 + level.sigma**2)
    below = lambda edge: sum(w * stats.norm(level.alpha * m, std).cdf(edge) for w, m in zip(WEIGHTS, MEANS))
    return -np.log2(below(x + BIN / 2) - below(x - BIN / 2)).mean()


def _system(schedule):
    return plain_systems.denoising(_exact, schedule), plain_systems.variables()


def _measure(schedule, law):
    system, variables = _system(schedule)
    measure = likelihood.measure(system, variables, law, steps=256)
    return bits.measure_bits(measure, (variables, law.params), Source(HELD_OUT), key=KEY, batch_size=200)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vp_linear", "edm"])
def test_a_fitted_law_brings_the_bound_near_the_bits_of_the_codes(name):
    schedule = schedules.vp_linear() if name == "vp_linear" else schedules.edm(sigma_min=1e-3)
    law = dequantiser.fit(*_system(schedule), Source(TRAIN), key=jax.random.key(2), progress=None)
    uniform, fitted = _measure(schedule, dequantiser.UNIFORM), _measure(schedule, law)
    assert (uniform["dequantisation"], fitted["dequantisation"]) == ("uniform", "variational")
    exactly = _bits(schedule)
    gaps = [found["bits_per_dim"] - exactly for found in (uniform, fitted)]
    # 800 pixels, the bound of one of which varies by less than 1 bit
    assert gaps[0] > 0.6 and gaps[1] > -0.035
    assert gaps[1] < 0.3 * gaps[0]


@pytest.mark.slow
def test_the_objective_of_the_fit_is_the_bound_that_it_lowers():
    """Averaged over draws it is E_q[log q - log p] of the exact density, here with a law not fitted yet."""
    schedule, module = schedules.edm(sigma_min=1e-4), ConvDequantiser()
    weights = module.init(KEY, jnp.zeros((1, 2, 2, 1)))
    system, variables = _system(schedule)
    bound_of = dequantiser._bound(system, schedule, module)
    bound = thorough(lambda key: bound_of(weights, variables, key, {"x": jnp.asarray(HELD_OUT)}))
    drawn = np.array([float(bound(key)) for key in jax.random.split(KEY, 400)])

    @thorough
    def exact_bits(key):
        x, log_q = dequantiser.draw(module, weights, key, HELD_OUT)
        log_p = MIXTURE.log_prob(x.reshape(-1, 1)).reshape(-1, 4).sum(1)
        return dequantisation.bits_per_dim(log_p, 4, log_q, **dequantiser.ENDS).mean()

    expected = np.array([float(exact_bits(key)) for key in jax.random.split(jax.random.key(3), 400)])
    error = np.hypot(drawn.std(), expected.std()) / 20
    assert error < 0.05
    assert abs(drawn.mean() - expected.mean()) < 3 * error


@pytest.mark.slow
def test_conditions_and_parameters_reach_the_model():
    """A denoiser that takes the answer from its parameters and condition: its likelihood pulls u there."""
    images, labels = np.full((8, 2, 2, 1), 100, np.uint8), np.arange(8, dtype=np.int32)
    wanted = 100 / 127.5 - 1 + 0.3 * BIN
    narrow = exact.gaussian_mixture([1.0], [[0.0]], [(0.1 * BIN) ** 2])

    def at(params):
        def denoise(x, level, cond):
            level = jax.tree.map(lambda a: jnp.broadcast_to(jnp.asarray(a, x.dtype), (len(x),)), level)
            centre = jnp.broadcast_to(params[cond].reshape(-1, 1, 1, 1), x.shape)
            shift = level.alpha.reshape(-1, 1, 1, 1) * centre
            wide = jax.tree.map(lambda a: jnp.repeat(a, 4), level)
            found = narrow.predict((x - shift).reshape(-1, 1), wide)
            return Prediction(centre + found.x0.reshape(x.shape), found.eps.reshape(x.shape))

        return denoise

    law = dequantiser.fit(
        plain_systems.denoising(at, schedules.vp_linear(), labelled=True),
        plain_systems.variables(jnp.full(8, wanted)), Source(images, labels, 8), key=KEY, num_steps=200,
        batch_size=32, learning_rate=1e-2, progress=None,
    )  # fmt: skip
    x, log_q = law.draw(law.params, KEY, images)
    assert x.shape == images.shape and log_q.shape == (8,)
    assert abs(float(jnp.mean(x)) - wanted) < 0.1 * BIN


def test_mistakes():
    with pytest.raises(ValueError, match="a likelihood needs d alpha/dt"):
        dequantiser.fit(*_system(schedules.cosine_beta(10)), Source(TRAIN), key=KEY)
    with pytest.raises(ValueError, match="images must be uint8"):
        floats = Source((TRAIN / 255.0).astype(np.float32))
        dequantiser.fit(*_system(schedules.vp_linear()), floats, key=KEY)
    with pytest.raises(ValueError, match="x must be a float array"):
        ConvDequantiser().init(KEY, jnp.zeros((2, 3)))
