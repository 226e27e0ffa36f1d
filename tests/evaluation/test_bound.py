"""Bits per dimension: the numbers of the report are elbo's, and against a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.data import to_model
from diffjax.evaluation import bound
from diffjax.process import elbo, schedules
from diffjax.process.prediction import Prediction

CHAIN = schedules.cosine_beta(12)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)


def _knows(x0):
    """A denoiser that knows the images it is asked about."""
    return lambda params: (
        lambda x, level, cond: Prediction(
            cond_images(x0, cond),
            (x - _level(level.alpha, x) * cond_images(x0, cond)) / _level(level.sigma, x),
        )
    )


def cond_images(x0, cond):
    return jnp.asarray(x0)[cond]


def _level(value, x):
    return jnp.reshape(value, (-1,) + (1,) * (x.ndim - 1))


def test_parts_add_up_and_batches_do_not_matter_to_a_denoiser_that_knows_the_answer():
    """Its transitions are the posterior itself: only the prior and the decoder cost bits."""
    x0 = to_model(IMAGES)
    labels = np.arange(5)
    measure = lambda size: bound.measure_bound(
        _knows(x0), (), CHAIN, IMAGES, labels, variance="fixed_small", key=jax.random.key(0),
        batch_size=size, progress=None,
    )  # fmt: skip
    found, again = measure(5), measure(2)
    assert found["count"] == 5 and len(found["terms"]) == 12
    assert abs(found["between"]) < 1e-5
    np.testing.assert_allclose(found["bits_per_dim"], found["prior"] + found["decoder"], atol=1e-5)
    np.testing.assert_allclose(found["terms"], again["terms"], atol=1e-5)  # padding is not counted
    np.testing.assert_allclose(found["x0_mse"], 0, atol=1e-10)


def test_mean_and_standard_error_are_over_images():
    shrink = lambda params: lambda x, level, cond: Prediction(params * x, x)
    found = bound.measure_bound(
        shrink, 0.5, CHAIN, IMAGES, variance="fixed_large", key=jax.random.key(3), progress=None
    )
    key = jax.random.fold_in(jax.random.key(3), 0)
    total = elbo.bits_per_dim(key, shrink(0.5), CHAIN, to_model(IMAGES), variance="fixed_large")["total"]
    np.testing.assert_allclose(found["bits_per_dim"], np.mean(total), rtol=1e-5)
    np.testing.assert_allclose(found["standard_error"], np.std(total, ddof=1) / np.sqrt(5), rtol=1e-4)


def test_mistakes():
    arguments = {"variance": "fixed_small", "key": jax.random.key(0)}
    with pytest.raises(ValueError, match="the bound in bits/dim is that of a chain"):
        bound.measure_bound(None, (), schedules.edm(), IMAGES, **arguments)
    with pytest.raises(
        ValueError, match="at least 2 of uint8, whose 256 values the bound counts; got 5 of float32"
    ):
        bound.measure_bound(None, (), CHAIN, to_model(IMAGES), **arguments)
