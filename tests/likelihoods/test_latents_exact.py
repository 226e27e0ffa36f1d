"""The bound of latent variables, where everything is Gaussian: the bound is the likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffjax.likelihoods import elbo, latents, observed
from diffjax.process import forward, gaussian, logistic, prediction, schedules
from diffjax.process.gaussian import Gaussian

# p(z) = N(0, I), p(x | z) = N(W z, s^2 I); columns of W are orthogonal, so that p(z | x) is diagonal
W, S2 = np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.0], [0.5, 0.0]]) * [1.2, 0.7], 0.3
X = np.random.default_rng(0).normal(size=(5, 4)) * 1.5
EXACT = stats.multivariate_normal(np.zeros(4), W @ W.T + S2 * np.eye(4)).logpdf(X)
PRIOR = Gaussian(*np.zeros((2, 5, 2)))


def _posterior():
    precision = 1 + (W**2).sum(0) / S2
    return Gaussian(X @ W / S2 / precision, np.broadcast_to(-np.log(precision), (5, 2)))


def _joint(q, noise):
    """log p(x | z) and the level, of z = mean + std * noise."""
    z = q.mean + np.exp(0.5 * q.log_variance) * noise
    log_likelihood = gaussian.log_prob(Gaussian(z @ W.T, np.log(S2)), jnp.asarray(X)).sum(1)
    return log_likelihood, [latents.Level(q, PRIOR, jnp.asarray(z))]


def test_the_exact_posterior_has_no_gap(x64):
    q, draws = _posterior(), np.random.default_rng(1).normal(size=(3, 5, 2))
    for noise in draws:
        np.testing.assert_allclose(latents.log_weight(*_joint(q, noise)), EXACT, rtol=1e-10)
    # the bound's mean over z is exact over the points +- sqrt(2) e_i: it is quadratic in z
    points = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])
    bounds = [latents.elbo(*_joint(q, np.tile(p, (5, 1)))) for p in points]
    np.testing.assert_allclose(np.mean(bounds, 0), EXACT, rtol=1e-10)


def test_many_draws_close_the_gap(x64):
    """Of the prior as q: joining draws never lowers the bound, and many reach the likelihood."""
    noise = np.random.default_rng(2).normal(size=(2**14, 5, 2))
    weights = jax.jit(jax.vmap(lambda e: latents.log_weight(*_joint(PRIOR, e))))(noise)
    joined = jax.jit(jax.vmap(latents.importance_weighted))
    bound = lambda k: np.asarray(joined(np.asarray(weights).reshape(-1, k, 5))).mean(0)
    ladder = np.stack([bound(4**i) for i in (0, 1, 3, 7)])
    assert (np.diff(ladder, axis=0) > 0).all()
    kl = latents.rate([latents.Level(PRIOR, _posterior())])
    np.testing.assert_allclose(EXACT - ladder[0], kl, rtol=0.05)  # the gap at K = 1 is KL(q || p(z | x))
    error = np.exp(2 * (np.asarray(weights) - EXACT)).mean(0) - 1
    assert (np.abs(ladder[-1] - EXACT) < 4 * np.sqrt(error / 2**14)).all()


def test_the_bound_of_a_chain_is_that_of_a_ladder(x64):
    """Diffusion as a VAE whose encoder is the forward process: the same number from both."""
    chain, steps = schedules.cosine_beta(6), 6
    denoise = lambda x, level, cond=None: prediction.from_x0(jnp.tanh(x), x, level, jnp.zeros_like(x))
    x0 = jnp.asarray(X)
    noise = jnp.asarray(np.random.default_rng(3).normal(size=(steps, 5, 4)))
    levels = [chain(n) for n in range(steps + 1)]
    z = [None, *(forward.perturb(x0, noise[n - 1], levels[n]) for n in range(1, steps + 1))]
    top = Gaussian(jnp.zeros_like(x0), jnp.zeros_like(x0))
    ladder = [latents.Level(forward.marginal(x0, levels[steps]), top)]
    for n in range(steps, 1, -1):
        of = (levels[n - 1], levels[n])
        q = forward.posterior(z[n], x0, *of)
        ladder.append(latents.Level(q, forward.reverse(denoise(z[n], levels[n]), z[n], *of)))
    floor = forward.floor(chain, np.arange(steps, -1, -1))
    last = forward.reverse(denoise(z[1], levels[1]), z[1], levels[0], levels[1], floor=floor)
    ours = -latents.elbo(gaussian.log_prob(last, x0).sum(1), ladder) / (4 * np.log(2))
    theirs = elbo.bits_per_dim(jax.random.key(0), denoise, chain, x0, noise=noise, decoder="gaussian")
    np.testing.assert_allclose(ours, theirs["total"], rtol=1e-9)


def test_free_bits_are_the_rate_where_every_channel_has_more():
    shape = (4, 2, 3)
    q, p = Gaussian(jnp.full(shape, 2.0), jnp.zeros(shape)), Gaussian(jnp.zeros(shape), jnp.zeros(shape))
    level = [latents.Level(q, p)]
    rate = latents.rate(level)  # 2 nats an element, 4 a channel
    np.testing.assert_allclose(rate, 12.0)
    np.testing.assert_allclose(latents.free_bits(level, 4.0), 12.0)
    np.testing.assert_allclose(latents.free_bits(level, 5.0), 15.0)
    with pytest.raises(ValueError, match="nats must be at least 0, got -1"):
        latents.free_bits(level, -1.0)
    with pytest.raises(ValueError, match="levels must have their draws z"):
        latents.log_weight(jnp.zeros(4), level)


@pytest.mark.parametrize(("mean", "scale"), [(0.2, 0.004), (-1.3, 0.3), (0.0, 2.0), (0.999, 0.001)])
def test_the_logistic_of_pixels_is_scipys(x64, mean, scale):
    x = np.arange(256) / 127.5 - 1
    log_p = np.asarray(logistic.discretized_log_prob(mean, np.log(scale), x))
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, atol=3e-10)  # 256 clamped at 1e-12
    edges = np.concatenate([[-np.inf], x[1:] - 1 / 255, [np.inf]])
    law = stats.logistic(mean, scale)
    mass = np.where(edges[1:] > mean, law.sf(edges[:-1]) - law.sf(edges[1:]), np.diff(law.cdf(edges)))
    seen = mass > 1e-8
    np.testing.assert_allclose(log_p[seen], np.log(mass[seen]), rtol=1e-6)


@pytest.mark.parametrize("name", observed.LIKELIHOODS)
def test_samples_and_means_are_of_the_probability(name):
    law = observed.LIKELIHOODS[name]()
    numbers = jnp.broadcast_to(jnp.array([0.3, -1.0])[: law.outputs], (20_000, law.outputs))
    x = law.sample(jax.random.key(0), numbers)
    error = float(x.std()) / np.sqrt(len(x))
    if name != "discretized_logistic":  # whose mean is clipped with its values
        assert abs(float(x.mean() - law.mean(numbers)[0])) < 4 * error
    log_p = law.log_prob(numbers, x)
    if law.counts:  # entropy: the mean of -log p over samples is that over the values there are
        values = jnp.array([-1.0, 1.0]) if name == "bernoulli" else jnp.arange(256) / 127.5 - 1
        every = law.log_prob(numbers[: len(values)], values)
        np.testing.assert_allclose(jnp.exp(every).sum(), 1, rtol=1e-5)
        entropy = -(jnp.exp(every) * every).sum()
        assert abs(float(-log_p.mean() - entropy)) < 4 * float(log_p.std()) / np.sqrt(len(x))
    else:
        np.testing.assert_allclose(-log_p.mean(), 0.5 * np.log(2 * np.pi * np.e) - 0.5, atol=0.03)


@pytest.mark.parametrize("name", observed.LIKELIHOODS)
def test_whatever_the_network_says_the_loss_is_finite(name):
    law, x = observed.LIKELIHOODS[name](), jnp.array([-1.0, -0.999, 0.0, 0.5, 0.999, 1.0])

    @jax.jit
    @jax.value_and_grad
    def total(numbers):
        return law.log_prob(numbers, law.target(jax.random.key(0), x)).sum()

    for said in np.stack(np.meshgrid([-100, -1, 0, 100], [-100, -7, 0, 3, 100])).reshape(2, -1).T:
        value, slope = total(jnp.broadcast_to(jnp.float32(said[: law.outputs]), (6, law.outputs)))
        assert value.dtype == jnp.float32 and np.isfinite(value) and np.isfinite(slope).all(), said


def test_grey_is_white_by_chance():
    x = jnp.linspace(-1, 1, 5) * jnp.ones((4000, 1))
    drawn = observed.bernoulli().target(jax.random.key(0), x)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), x[0], atol=4 / np.sqrt(4000))
