"""Bits of discrete data: dequantisation by three laws against probabilities of codes."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffjax import exact, samplers

KEY = jax.random.key(0)


def test_uniform_density_is_eight_bits_and_the_offset_is_seven():
    codes = jnp.arange(256).reshape(4, 8, 8, 1)
    x = samplers.dequantisation.uniform(KEY, codes)
    assert x.shape == codes.shape and (x >= -1).all() and (x < 1).all()
    np.testing.assert_array_equal(jnp.floor((x + 1) * 128).astype(int), codes)
    log_p = jnp.full(4, -64 * math.log(2))  # density 1/2 on [-1, 1]
    np.testing.assert_allclose(samplers.dequantisation.bits_per_dim(log_p, 64), 8, rtol=1e-6)
    np.testing.assert_allclose(samplers.dequantisation.bits_per_dim(0.0, 64), 7)
    np.testing.assert_allclose(samplers.dequantisation.bits_per_dim(0.0, 64, low=0.0), 8)
    # bins centred on x / 127.5 - 1
    ends = {"low": -1 - 1 / 255, "high": 1 + 1 / 255}
    x = samplers.dequantisation.uniform(KEY, codes, **ends)
    assert (jnp.abs(x - (codes / 127.5 - 1)) <= 1 / 255 + 1e-6).all()


def _masses(edges):
    """Probabilities of the bins under N(-0.5, 0.1) 0.4 + N(0.3, 0.2) 0.6."""
    parts = ((0.4, -0.5, 0.1), (0.6, 0.3, 0.2))
    cdf = lambda v: sum(w * 0.5 * (1 + math.erf((v - m) / math.sqrt(2 * s))) for w, m, s in parts)
    return np.array([cdf(b) - cdf(a) for a, b in itertools.pairwise(edges)])


def test_dequantised_densities_bound_the_probability_of_a_code(x64):
    """E_u p(x) is the mass of the bin, and E[log p - log q] is below its logarithm for any q."""
    n, mass = 20000, _masses(np.linspace(-1, 1, 5))
    mixture = exact.gaussian_mixture([0.4, 0.6], [[-0.5], [0.3]], [0.1, 0.2])
    codes = jnp.repeat(jnp.arange(4), n)[:, None]
    x = samplers.dequantisation.uniform(KEY, codes, levels=4)
    bits = samplers.dequantisation.bits_per_dim(mixture.log_prob(x), 1, levels=4).reshape(4, n)
    ratio = 2.0**-bits
    assert (np.abs(ratio.mean(1) - mass) < 4 * ratio.std(1) / np.sqrt(n)).all()
    assert (bits.mean(1) > -np.log2(mass)).all()
    laws = samplers.dequantisation.logit_normal, samplers.dequantisation.logit_logistic
    for law, (mean, log_scale) in itertools.product(laws, ((0.0, 0.5), (0.7, -0.3))):
        x, log_q = law(KEY, codes, mean, log_scale, levels=4)
        bits = samplers.dequantisation.bits_per_dim(mixture.log_prob(x), 1, log_q, levels=4).reshape(4, n)
        assert (bits.mean(1) > -np.log2(mass) + 0.01).all()


@pytest.mark.parametrize(
    ("law", "density"),
    [
        (samplers.dequantisation.logit_normal, jax.scipy.stats.norm),
        (samplers.dequantisation.logit_logistic, jax.scipy.stats.logistic),
    ],
)
def test_density_of_squashed_noise(x64, law, density):
    """log q is the base's log density less log |du/dz|, here by automatic differentiation."""
    mean, log_scale = jnp.array([0.3, -0.4]), jnp.array([-0.2, 0.6])
    x, log_q = law(KEY, jnp.array([[3, 200], [0, 255]]), mean, log_scale)
    u = jnp.mod((x + 1) * 128, 1)
    z = (jnp.log(u / (1 - u)) - mean) / jnp.exp(log_scale)
    rate = jax.vmap(
        jax.vmap(jax.grad(lambda z, m, s: jax.nn.sigmoid(m + jnp.exp(s) * z)), (0, 0, 0)), (0, None, None)
    )
    wanted = (density.logpdf(z) - jnp.log(rate(z, mean, log_scale))).sum(1)
    np.testing.assert_allclose(log_q, wanted, rtol=1e-8)
    np.testing.assert_array_equal(jnp.floor((x + 1) * 128), [[3, 200], [0, 255]])


def test_a_logit_logistic_law_can_be_uniform():
    x, log_q = samplers.dequantisation.logit_logistic(KEY, jnp.full((10, 500), 7), 0.0, 0.0)
    np.testing.assert_allclose(log_q, 0, atol=2e-3)  # a sum of 500 roundings
    assert stats.kstest(np.asarray((x + 1) * 128 - 7).ravel(), "uniform").pvalue > 1e-3
