"""The variational bound where its value is known: Gaussian data and their optimal reverse process.

With the optimal mean and variance the bound telescopes to the entropy of the data, plus what the prior
misses: KL(q(x_T) || N(0, 1)). Each term is quadratic in (x_0, eps), so that three Gauss-Hermite nodes in
each give its expectation exactly.
"""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import samplers
from diffjax.process import elbo, forward, prediction, schedules

CHAINS = {
    "linear_1000": schedules.linear_beta(1000),
    "linear_4000": schedules.linear_beta(4000, 2.5e-5, 5e-3),
    "cosine_50": schedules.cosine_beta(50),
    "short": schedules.from_betas([0.1, 0.5, 0.3]),
    "zero_snr": schedules.zero_terminal_snr(schedules.linear_beta(100)),
}


def _denoiser(chain, v, times):
    """The exact denoiser of N(0, v), whose variance is the log of the optimal one, of this grid."""
    log_variance = np.zeros(chain.num_steps + 1)
    pair = forward.pair(chain(times[1:]), chain(times[:-1]))
    above = chain(times[:-1])
    mmse = v * above.sigma**2 / (above.alpha**2 * v + above.sigma**2)
    log_variance[times[:-1]] = np.log(np.exp(pair.log_variance) + pair.mean_x0**2 * mmse)

    def denoise(x, level, cond=None):
        shrink = 1 / (level.alpha**2 * v + level.sigma**2)
        variance = jnp.asarray(log_variance)[level.t.astype(int)]
        return prediction.Prediction(
            level.alpha * v * shrink * x, level.sigma * shrink * x, jnp.full_like(x, variance)
        )

    return denoise


def _expected_nats(chain, v, times, **options):
    nodes, weights = mixtures.hermite(3)
    x0, eps = (a.reshape(-1, 1) for a in np.meshgrid(np.sqrt(v) * nodes, nodes))
    noise = np.broadcast_to(eps, (len(times) - 1, *eps.shape))
    bound = elbo.bits_per_dim(
        jax.random.key(0), _denoiser(chain, v, times), chain, jnp.asarray(x0), times=times, noise=noise,
        decoder="gaussian", **options,
    )  # fmt: skip
    return float(bound["total"] @ np.outer(weights, weights).ravel() * np.log(2)), bound


def _prior_miss(chain, v):
    total = chain.alpha[-1] ** 2 * v + chain.sigma[-1] ** 2
    return 0.5 * (total - 1 - np.log(total))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("v", [0.3, 1.0, 2.5])
def test_bound_telescopes_to_the_entropy(x64, name, v):
    chain = CHAINS[name]
    nats, _ = _expected_nats(chain, v, np.arange(chain.num_steps, -1, -1), variance="learned")
    np.testing.assert_allclose(nats, 0.5 * np.log(2 * np.pi * np.e * v) + _prior_miss(chain, v), atol=1e-9)


@pytest.mark.parametrize("sections", ["ddim25", "10,15,20", "1"])
def test_respaced_bound_telescopes_too(x64, sections):
    chain = CHAINS["linear_1000"]
    times = samplers.grids.spaced(1000, sections)
    times[0] = 1000
    nats, bound = _expected_nats(chain, 0.6, times, variance="learned")
    np.testing.assert_allclose(
        nats, 0.5 * np.log(2 * np.pi * np.e * 0.6) + _prior_miss(chain, 0.6), atol=1e-9
    )
    assert bound["terms"].shape == (9, len(times) - 1)


def test_stationary_data_need_the_large_variance(x64):
    """Of N(0, 1) data beta is the optimal variance; only n = 1 takes the borrowed one."""
    chain = CHAINS["linear_1000"]
    nats, bound = _expected_nats(chain, 1.0, np.arange(1000, -1, -1), variance="fixed_large")
    beta, lent = chain.betas[0], np.exp(chain.floor())
    excess = 0.5 * (np.log(lent / beta) + beta / lent - 1)
    np.testing.assert_allclose(nats, 1.4189385332 + excess, atol=1e-9)
    # the terms that the other variance misses: KL(N(., beta) || N(., beta tilde)) of each step
    small, _ = _expected_nats(chain, 1.0, np.arange(1000, -1, -1), variance="fixed_small")
    ratio = chain.betas[1:] / np.exp(
        forward.pair(chain(np.arange(1, 1000)), chain(np.arange(2, 1001))).log_variance
    )
    np.testing.assert_allclose(small - nats, 0.5 * (ratio - 1 - np.log(ratio)).sum(), rtol=1e-9)
    # mse columns: E(x_0 - x_0_hat)^2 = sigma^2, E(eps - eps_hat)^2 = alpha^2
    weights = np.outer(*[mixtures.hermite(3)[1]] * 2).ravel()
    np.testing.assert_allclose(weights @ bound["x0_mse"], chain.sigma[1:] ** 2, rtol=1e-9)
    np.testing.assert_allclose(weights @ bound["eps_mse"], chain.alpha[1:] ** 2, rtol=1e-9)


def test_float32_keeps_the_bound():
    chain, times = CHAINS["linear_1000"], np.arange(1000, -1, -1)
    nats, _ = _expected_nats(chain, 2.5, times, variance="learned")
    np.testing.assert_allclose(nats, 0.5 * np.log(2 * np.pi * np.e * 2.5), atol=2e-3)


def test_drawn_noise_is_unbiased_and_the_key_decides():
    chain, v = CHAINS["cosine_50"], 0.3
    denoise = _denoiser(chain, v, np.arange(50, -1, -1))
    x0 = np.sqrt(v) * jax.random.normal(jax.random.key(1), (4000, 1))
    bound = lambda seed: elbo.bits_per_dim(
        jax.random.key(seed), denoise, chain, x0, variance="learned", decoder="gaussian"
    )["total"]
    one, again, other = bound(0), bound(0), bound(1)
    error = np.std(one) / np.sqrt(len(x0))
    assert abs(one.mean() * np.log(2) - 0.5 * np.log(2 * np.pi * np.e * v)) < 4 * error
    assert (one == again).all() and (one != other).any()


def test_every_time_has_its_own_noise(x64):
    """A network that says eps = 0 is off by the draw itself: eps_mse is eps^2, a column for each time."""
    x0 = jnp.zeros((4000, 1))
    denoise = lambda x, level, cond=None: prediction.from_eps(jnp.zeros_like(x), x, level)
    squares = elbo.bits_per_dim(
        jax.random.key(0), denoise, CHAINS["cosine_50"], x0, variance="fixed_large", decoder="gaussian"
    )["eps_mse"]
    correlation = np.corrcoef(squares.T)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(x0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "laplace"}, "decoder must be one of"),
        ({"variance": "none"}, "variance must be one of"),
        ({"times": [3, 2, 1]}, "times must decrease from 3 to 0"),
        ({"times": [3, 1, 1, 0]}, "times must decrease from 3 to 0"),
        ({"cdf": "erf"}, "cdf must be one of"),
    ],
)
def test_bad_options_are_named(options, message):
    denoise = _denoiser(CHAINS["short"], 1.0, np.arange(3, -1, -1))
    with pytest.raises(ValueError, match=message):
        elbo.bits_per_dim(jax.random.key(0), denoise, CHAINS["short"], jnp.ones((2, 1)), **options)


@pytest.mark.parametrize("worst", [255.0, -1.01, np.nan])
def test_images_outside_their_range_are_refused(worst):
    denoise = _denoiser(CHAINS["short"], 1.0, np.arange(3, -1, -1))
    x0 = jnp.array([[0.0], [worst]])
    with pytest.raises(ValueError, match=r"x0 must be 8-bit images scaled to \[-1, 1\], got values from"):
        elbo.bits_per_dim(jax.random.key(0), denoise, CHAINS["short"], x0)
    with pytest.raises(ValueError, match="x0 must be"):  # a constant of a compiled function is known, too
        jax.jit(lambda key: elbo.bits_per_dim(key, denoise, CHAINS["short"], x0)["total"])(jax.random.key(0))
    elbo.bits_per_dim(jax.random.key(0), denoise, CHAINS["short"], x0, decoder="gaussian")  # any density
