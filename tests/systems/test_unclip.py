"""What inverting a decoder finds: of a Gaussian in closed form, and ways between embeddings."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import exact, samplers
from diffjax.keys import per_sample
from diffjax.process import schedules
from diffjax.systems import unclip

MEANS = np.array([[0.8, 0.0], [0.0, -0.6]])
MIXTURE = exact.gaussian_mixture([1.0, 1.0], MEANS, [0.1, 0.1])
SCHEDULE, TIMES = schedules.vp_cosine(), np.linspace(0.999, 1e-3, 200)


def test_a_decoder_is_inverted_and_another_embedding_keeps_the_rest():
    """Of N(m_c, s^2) both ways are linear: the noise is (x - m) / s, and another m gives x - m + m'."""
    x, label = jnp.array([[1.0, 0.2], [0.5, -0.3]]), jnp.zeros(2, int)
    noise = unclip.invert(MIXTURE.denoiser(), SCHEDULE, TIMES, x, label)
    np.testing.assert_allclose(noise, (x - MEANS[0]) / np.sqrt(0.1), atol=0.05)
    rows = samplers.plan(SCHEDULE, samplers.ddim(), TIMES)
    decode = lambda cond: samplers.walk(
        jax.random.key(0), MIXTURE.denoiser(), samplers.ddim(), rows, noise, cond=cond
    )
    again, other = decode(label), decode(label + 1)
    np.testing.assert_allclose(again, x, atol=0.02)
    np.testing.assert_allclose(other, x - MEANS[0] + MEANS[1], atol=0.05)


def test_variations_keep_the_picture_or_the_law_of_its_embedding():
    """Of N(m_c, s^2): without fresh noise x again; with it any other of the same law, wherever it began."""
    x, label = jnp.tile(jnp.array([[1.0, 0.2]]), (2000, 1)), jnp.zeros(2000, int)
    keys = per_sample(jax.random.key(0), 2000)
    vary = lambda eta, n: unclip.variations(
        keys[:n], MIXTURE.denoiser(), SCHEDULE, TIMES, x[:n], label[:n], eta
    )
    np.testing.assert_allclose(vary(0.0, 2), x[:2], atol=0.02)
    other = np.asarray(vary(1.0, 2000))
    assert np.abs(other.mean(0) - MEANS[0]).max() < 5 * np.sqrt(0.1 / 2000)
    np.testing.assert_allclose(np.cov(other.T), 0.1 * np.eye(2), atol=5 * 0.1 * np.sqrt(2 / 2000))


def test_ways_between_embeddings_are_on_the_sphere():
    z, other = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    way = unclip.between(z, other, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(way, [z, (z + other) / np.sqrt(2), other], atol=1e-6)
    turned = unclip.by_text(z, np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(turned, [z, np.array([0, -1, 1]) / np.sqrt(2)], atol=1e-6)
