"""Gaussians and pairs of levels against quadrature, scipy and brute-force Bayes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffjax.process import forward, gaussian, prediction, schedules
from diffjax.process.gaussian import Gaussian

PAIRS = {
    "chain": lambda: [schedules.linear_beta(1000)(n) for n in (299, 300)],
    "respaced": lambda: [schedules.cosine_beta(1000)(n) for n in (300, 700)],
    "first": lambda: [schedules.linear_beta(1000)(n) for n in (0, 1)],
    "edm": lambda: [schedules.edm()(t) for t in (0.5, 3.0)],
    "rectified_flow": lambda: [schedules.rectified_flow()(t) for t in (0.2, 0.6)],
    "pure noise": lambda: [schedules.rectified_flow()(t) for t in (0.6, 1.0)],
}


def test_kl_against_quadrature(x64):
    z = np.linspace(-40, 40, 400001)
    for m1, v1, m2, v2 in [(0.3, 0.5, -1.0, 2.0), (0.0, 1.0, 0.0, 1.001), (2.0, 3.0, 1.0, 0.5)]:
        p, q = stats.norm(m1, np.sqrt(v1)), stats.norm(m2, np.sqrt(v2))
        integral = np.sum(p.pdf(z) * (p.logpdf(z) - q.logpdf(z))) * (z[1] - z[0])
        ours = gaussian.kl(
            Gaussian(jnp.array([m1]), jnp.array([np.log(v1)])),
            Gaussian(jnp.array([m2]), jnp.array([np.log(v2)])),
        )
        np.testing.assert_allclose(ours[0], integral, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(
            gaussian.log_prob(Gaussian(m1, np.log(v1)), jnp.array([0.7]))[0], p.logpdf(0.7), rtol=1e-12
        )


def test_kl_of_nearly_equal_variances_in_float32():
    """KL = d^2 / 4 + O(d^3) for log variances that differ by d."""
    d = np.float32(1e-3)
    ours = gaussian.kl(Gaussian(jnp.zeros(1), d), Gaussian(jnp.zeros(1), jnp.zeros(1)))
    np.testing.assert_allclose(ours[0], 0.5 * (np.expm1(1e-3) - 1e-3), rtol=1e-3)


@pytest.mark.parametrize("cdf", ["tanh", "exact"])
@pytest.mark.parametrize(("mean", "std"), [(0.2, 0.01), (-1.3, 0.5), (0.0, 3.0), (0.999, 0.003)])
def test_discretized_decoder_sums_to_one(x64, cdf, mean, std):
    x = jnp.arange(256.0) / 127.5 - 1
    log_p = gaussian.discretized_log_prob(Gaussian(jnp.full_like(x, mean), 2 * np.log(std)), x, cdf)
    # each of the 256 probabilities is clamped at 1e-12
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, atol=3e-10)
    if cdf == "exact":
        edges = np.concatenate([[-np.inf], np.asarray(x[:-1]) + 1 / 255, [np.inf]])
        mass = np.diff(stats.norm(mean, std).cdf(edges))
        np.testing.assert_allclose(jnp.exp(log_p), np.maximum(mass, 1e-12), rtol=1e-9, atol=2e-15)


def test_sample_has_the_moments_and_a_point_mass_has_no_spread():
    g = Gaussian(jnp.full((4, 20000), 0.5), jnp.log(jnp.array([1.0, 4.0, 0.01, 0.0])))
    x = np.asarray(gaussian.sample(jax.random.key(3), g))
    np.testing.assert_allclose(x.mean(1), 0.5, atol=4 * 2 / np.sqrt(20000))
    np.testing.assert_allclose(x.var(1), [1, 4, 0.01, 0], rtol=4 * np.sqrt(2 / 20000))
    assert (x[3] == 0.5).all()


@pytest.mark.parametrize("name", PAIRS)
def test_posterior_four_ways(x64, name):
    s, t = PAIRS[name]()
    x_t, eps = jnp.array([[0.7]]), jnp.array([[-0.4]])
    # where alpha = 0, x_t says nothing of x_0
    x0 = (x_t - t.sigma * eps) / t.alpha if t.alpha else jnp.array([[0.3]])
    eps = eps if t.alpha else x_t
    ours = forward.posterior(x_t, x0, s, t)
    if s.sigma == 0:
        assert ours.mean == x0 and ours.log_variance == -np.inf
        return
    # brute-force Bayes: q(x_s | x_0) q(x_t | x_s) on a grid
    x_s = jnp.linspace(-30, 30, 200001)[:, None]
    transition = forward.transition(x_s, s, t)
    marginal = forward.marginal(jnp.broadcast_to(x0, x_s.shape), s)
    log = gaussian.log_prob(marginal, x_s) + gaussian.log_prob(transition, jnp.broadcast_to(x_t, x_s.shape))
    weight = np.exp(np.asarray(log - log.max(), np.float64))
    mean = (weight * x_s).sum() / weight.sum()
    np.testing.assert_allclose(ours.mean[0, 0], mean, rtol=1e-9)
    variance = (weight * (x_s - mean) ** 2).sum() / weight.sum()
    np.testing.assert_allclose(jnp.exp(ours.log_variance), variance, rtol=1e-9)
    # the mean of DDIM at eta = 1
    share = np.exp(float(ours.log_variance))
    ddim = s.alpha * x0 + np.sqrt(s.sigma**2 - share) * eps
    np.testing.assert_allclose(ours.mean, ddim, rtol=1e-9)
    # the eps form, (x_t - var_ts / sigma_t eps) / alpha_ts, Ho et al. 2020, eq. 11
    if t.alpha:
        var_ts = t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2
        np.testing.assert_allclose(ours.mean, (x_t - var_ts / t.sigma * eps) / (t.alpha / s.alpha), rtol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_transition_carries_one_marginal_to_the_next(x64, name):
    s, t = PAIRS[name]()
    pair = forward.pair(s, t)
    np.testing.assert_allclose(pair.alpha_ts * s.alpha, t.alpha, rtol=1e-12)
    np.testing.assert_allclose(
        pair.alpha_ts**2 * s.sigma**2 + np.exp(pair.log_var_ts), t.sigma**2, rtol=1e-10
    )
    # the posterior is unbiased: averaged over q(x_t | x_0) it gives back q(x_s | x_0)
    np.testing.assert_allclose(pair.mean_xt * t.alpha + pair.mean_x0, s.alpha, rtol=1e-10)
    np.testing.assert_allclose(
        pair.mean_xt**2 * t.sigma**2 + np.exp(pair.log_variance), s.sigma**2, rtol=1e-10
    )


def test_reverse_variances_and_the_borrowed_floor(x64):
    chain = schedules.linear_beta(10)
    x, v = jnp.array([[0.4]]), jnp.array([[0.3]])
    predicted = prediction.Prediction(x, x, v)
    beta_tilde = lambda n: chain.betas[n - 1] * chain.sigma[n - 1] ** 2 / chain.sigma[n] ** 2
    np.testing.assert_allclose(chain.floor(), np.log(beta_tilde(2)), rtol=1e-12)
    np.testing.assert_allclose(
        chain.floor([10, 6, 3, 0]), forward.pair(chain(3), chain(6)).log_variance, rtol=1e-12
    )
    assert chain.floor([10, 0]) == -np.inf
    for n in (1, 5):
        small = np.log(beta_tilde(max(n, 2)))
        large = np.log(chain.betas[n - 1]) if n > 1 else small
        log_range = 0.65 * np.log(chain.betas[n - 1]) + 0.35 * small
        for name, expected in [
            ("fixed_small", small), ("fixed_large", large), ("learned", 0.3), ("learned_range", log_range),
        ]:  # fmt: skip
            model = forward.reverse(predicted, x, chain(n - 1), chain(n), name, chain.floor())
            np.testing.assert_allclose(
                model.log_variance, np.full_like(model.log_variance, expected), rtol=1e-11
            )


def test_bad_input_is_named():
    chain, x = schedules.linear_beta(10), jnp.ones((2, 3))
    predicted = prediction.Prediction(x, x)
    with pytest.raises(ValueError, match=r"variance must be one of .*got 'small'"):
        forward.reverse(predicted, x, chain(1), chain(2), "small")
    with pytest.raises(ValueError, match="needs a network with twice the channels"):
        forward.reverse(predicted, x, chain(1), chain(2), "learned")
    with pytest.raises(ValueError, match=r"eps must be a float array .*, got float32\[1, 3\]; x0 has"):
        forward.perturb(x, x[:1], chain(1))
    with pytest.raises(ValueError, match="x0 must be a float array"):
        forward.perturb(np.ones((2, 3), np.uint8), np.ones((2, 3), np.uint8), chain(1))
    with pytest.raises(ValueError, match="a scalar or"):
        forward.perturb(x, x, chain(np.array([1, 2, 3])))
    with pytest.raises(ValueError, match="cdf must be one of"):
        gaussian.discretized_log_prob(Gaussian(x, 0.0), x, "erf")
