"""process/ against guided-diffusion and diffusers.

Not compared: guided-diffusion's previous-x prediction WITH clipping. It clips the x_0 it reports but not
the mean it samples from, so the two disagree; here a clipped prediction has one mean. Nor diffusers'
"linspace" time steps: its schedulers step down from them by T // n, not to the next of them, so that only
single steps could be compared.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import guidance
from diffjax.process import elbo, forward, gaussian, prediction, schedules
from diffjax.process.gaussian import Gaussian
from diffjax.samplers import grids

# guided-diffusion scales the linear ends by 1000 / T
CHAINS = {
    "linear_1000": lambda: schedules.linear_beta(1000),
    "linear_250": lambda: schedules.linear_beta(250, 4e-4, 0.08),
    "cosine_1000": lambda: schedules.cosine_beta(1000),
    "cosine_250": lambda: schedules.cosine_beta(250),
}


@pytest.mark.parametrize("name", CHAINS)
def test_schedules_float64_on_the_host(name):
    golden, _ = reference.load("gd_schedules")
    chain = CHAINS[name]()
    n = np.arange(1, chain.num_steps + 1)
    level, previous = chain(n), chain(n - 1)
    pair = forward.pair(previous, level, chain.floor())
    ours = {
        "betas": chain.betas,
        "alphas_cumprod": level.alpha**2,
        "alphas_cumprod_prev": previous.alpha**2,
        "posterior_variance": np.exp(pair.log_variance),
        "posterior_log_variance_clipped": pair.log_small,
        "posterior_mean_coef1": pair.mean_x0,
        "posterior_mean_coef2": pair.mean_xt,
        "sqrt_recip_alphas_cumprod": 1 / level.alpha,
        "sqrt_recipm1_alphas_cumprod": level.sigma / level.alpha,
        "log_one_minus_alphas_cumprod": 2 * np.log(level.sigma),
    }
    for key, value in ours.items():
        assert value.dtype == np.float64
        # atol: log(1 - alpha^2) near 0, where float64 itself ends
        np.testing.assert_allclose(value, golden[f"{name}__{key}"], rtol=1e-9, atol=2e-16, err_msg=key)


def test_forward_marginal_and_posterior(x64):
    golden, _ = reference.load("gd_q")
    chain = schedules.linear_beta(1000)
    x0, eps, x_t = (jnp.asarray(golden[k]) for k in ("x_start", "noise", "x_t"))
    level, previous = chain(golden["t"] + 1), chain(golden["t"])
    marginal = forward.marginal(x0, level)
    posterior = forward.posterior(x_t, x0, previous, level)
    clipped = forward.pair(previous, level, chain.floor()).log_small
    full = lambda a: jnp.broadcast_to(jnp.asarray(a).reshape(-1, 1, 1, 1), x0.shape)
    ours = {
        "q_sample": forward.perturb(x0, eps, level),
        "q_mean": marginal.mean,
        "q_variance": jnp.exp(full(marginal.log_variance)),
        "q_log_variance": full(marginal.log_variance),
        "posterior_mean": posterior.mean,
        "posterior_variance": jnp.exp(full(posterior.log_variance)),
        "posterior_log_variance_clipped": full(clipped),
        "predict_xstart_from_eps": prediction.from_output("eps", eps, x_t, level).x0,
        "predict_eps_from_xstart": prediction.from_output("x0", x0, x_t, level).eps,
        "predict_xstart_from_xprev(xprev=noise)": prediction.from_output(
            "mean", eps, x_t, level, previous
        ).x0,
    }
    for key, value in ours.items():
        np.testing.assert_allclose(value, golden[f"f64__{key}"], rtol=1e-9, atol=1e-12, err_msg=key)
    prior = gaussian.kl(forward.marginal(x0, chain(1000)), Gaussian(jnp.zeros_like(x0), 0.0))
    np.testing.assert_allclose(prior.mean((1, 2, 3)) / np.log(2), golden["f64__prior_bpd"], rtol=1e-9)


COMBINATIONS = [
    (mean, variance, clip)
    for mean in reference.KINDS
    for variance in ("LEARNED", "FIXED_SMALL", "FIXED_LARGE", "LEARNED_RANGE")
    for clip in ("clip", "noclip")
    if not (mean == "PREVIOUS_X" and clip == "clip")
]


def _transition(golden, hyper, mean, variance, clip, dtype):
    chain, name = schedules.linear_beta(hyper["T"]), variance.lower()
    denoise = reference.fake_denoiser(hyper, reference.KINDS[mean], name, chain)
    denoise = guidance.clip()(denoise) if clip == "clip" else denoise
    x, t = jnp.asarray(golden["x"], dtype), golden["t"]
    level = chain(t + 1)
    predicted = denoise(x, level, None)
    return predicted, forward.reverse(predicted, x, chain(t), level, name, chain.floor())


@pytest.mark.parametrize(("mean", "variance", "clip"), COMBINATIONS)
def test_reverse_transition(x64, mean, variance, clip):
    golden, hyper = reference.load("gd_p_mean_variance")
    predicted, model = _transition(golden, hyper, mean, variance, clip, jnp.float64)
    theirs = lambda key: golden[f"f64__{mean}__{variance}__{key}"]
    np.testing.assert_allclose(model.mean, theirs(f"{clip}__mean"), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(predicted.x0, theirs(f"{clip}__pred_xstart"), rtol=1e-8, atol=1e-10)
    log_variance = theirs("clip__log_variance")
    np.testing.assert_allclose(
        np.broadcast_to(model.log_variance, log_variance.shape), log_variance, rtol=1e-8
    )


@pytest.mark.parametrize(("mean", "variance", "clip"), COMBINATIONS)
def test_reverse_transition_in_float32_loses_at_most_1e_5_of_the_largest_entry(mean, variance, clip):
    golden, hyper = reference.load("gd_p_mean_variance")
    predicted, model = _transition(golden, hyper, mean, variance, clip, jnp.float32)
    assert predicted.x0.dtype == model.mean.dtype == jnp.float32
    key = f"f64__{mean}__{variance}__{clip}"
    assert reference.relative(model.mean, golden[f"{key}__mean"]) < 1e-5
    assert reference.relative(predicted.x0, golden[f"{key}__pred_xstart"]) < 1e-5


def test_gaussians(x64):
    golden, _ = reference.load("gd_likelihood")
    g = {key: jnp.asarray(value) for key, value in golden.items()}
    ours = gaussian.discretized_log_prob(Gaussian(g["means"], 2 * g["log_scales"]), g["x"])
    theirs = g["f64__discretized_gaussian_log_likelihood"]
    # The reference subtracts two CDFs near 1: its masses are good to the last bit of 1, not of themselves.
    np.testing.assert_allclose(jnp.exp(ours), jnp.exp(theirs), rtol=1e-9, atol=3e-16)
    np.testing.assert_allclose(ours[theirs > -15], theirs[theirs > -15], rtol=1e-9, atol=1e-15)
    first, second = Gaussian(g["mean1"], g["logvar1"]), Gaussian(g["mean2"], g["logvar2"])
    np.testing.assert_allclose(gaussian.kl(first, second), g["f64__normal_kl"], rtol=1e-9)
    standard = Gaussian(jnp.zeros_like(first.mean), 0.0)
    np.testing.assert_allclose(gaussian.kl(first, standard), g["f64__normal_kl_vs_standard"], rtol=1e-9)


def test_float32_decoder_keeps_its_digits():
    """The reference loses all of them below -15 nats, to the difference of two float32 CDFs."""
    golden, _ = reference.load("gd_likelihood")
    f32 = {key: jnp.asarray(golden[key], jnp.float32) for key in ("x", "means", "log_scales")}
    ours = gaussian.discretized_log_prob(Gaussian(f32["means"], 2 * f32["log_scales"]), f32["x"])
    exact = golden["f64__discretized_gaussian_log_likelihood"]
    np.testing.assert_allclose(ours, exact, rtol=2e-5, atol=2e-5)


BOUNDS = [
    ("EPSILON", "FIXED_LARGE", True),
    ("EPSILON", "LEARNED_RANGE", True),
    ("START_X", "FIXED_SMALL", False),
]


def _bound(mean, variance, clip, dtype):
    golden, hyper = reference.load("gd_calc_bpd_loop")
    chain = schedules.linear_beta(hyper["T"], 1000 / hyper["T"] * 1e-4, 1000 / hyper["T"] * 0.02)
    denoise = reference.fake_denoiser(hyper, reference.KINDS[mean], variance.lower(), chain)
    denoise = guidance.clip()(denoise) if clip else denoise
    x0, noise = jnp.asarray(golden["x_start"], dtype), jnp.asarray(golden["noise"][::-1], dtype)
    ours = elbo.bits_per_dim(jax.random.key(0), denoise, chain, x0, variance=variance.lower(), noise=noise)
    prefix = f"f64__{mean}__{variance}__{'clip' if clip else 'noclip'}__"
    return ours, {key.removeprefix(prefix): value for key, value in golden.items() if key.startswith(prefix)}


@pytest.mark.parametrize(("mean", "variance", "clip"), BOUNDS)
def test_bound(x64, mean, variance, clip):
    ours, theirs = _bound(mean, variance, clip, jnp.float64)
    np.testing.assert_allclose(ours["total"], theirs["total_bpd"], rtol=1e-7)
    np.testing.assert_allclose(ours["prior"], theirs["prior_bpd"], rtol=1e-7)
    np.testing.assert_allclose(ours["terms"], theirs["vb"][:, ::-1], rtol=1e-7, atol=1e-14)
    np.testing.assert_allclose(ours["x0_mse"], theirs["xstart_mse"][:, ::-1], rtol=1e-7)
    np.testing.assert_allclose(ours["eps_mse"], theirs["mse"][:, ::-1], rtol=1e-7)


@pytest.mark.parametrize(("mean", "variance", "clip"), BOUNDS)
def test_bound_in_float32_loses_at_most_1e_4_of_a_term(mean, variance, clip):
    ours, theirs = _bound(mean, variance, clip, jnp.float32)
    np.testing.assert_allclose(ours["terms"][:, 1:], theirs["vb"][:, ::-1][:, 1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", range(3))
def test_diffusers_schedules(x64, spec):
    golden, hyper = reference.load("diffusers_betas")
    name, num_steps, start, end = hyper["specs"][spec]
    make = {
        "linear": lambda: schedules.linear_beta(num_steps, start, end),
        "scaled_linear": lambda: schedules.scaled_linear(num_steps, start, end),
        "squaredcos_cap_v2": lambda: schedules.cosine_beta(num_steps),
    }
    chain, key = make[name](), f"{name}_{num_steps}__"
    np.testing.assert_allclose(chain.betas, golden[key + "betas"], rtol=1e-5)
    np.testing.assert_allclose(chain.alpha[1:] ** 2, golden[key + "alphas_cumprod"], rtol=1e-4)
    zero = schedules.zero_terminal_snr(chain)
    # each float32 beta is rounded by itself; what they multiply to keeps its digits
    theirs = np.cumprod(1 - golden[key + "zero_snr_betas"].astype(np.float64))
    np.testing.assert_allclose(zero.alpha[1:] ** 2, theirs, rtol=0, atol=2e-6)
    assert zero.betas[-1] == 1 and zero.log_snr[-1] == -np.inf
    x, noise, level = golden[key + "x"], golden[key + "noise"], chain(golden[key + "t"] + 1)
    np.testing.assert_allclose(
        forward.perturb(x, noise, level), golden[key + "add_noise"], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        prediction.target("v", x, noise, level), golden[key + "get_velocity"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("n", [10, 50])
def test_diffusers_time_steps(n):
    golden, hyper = reference.load("diffusers_betas")
    theirs = lambda spacing: golden[f"timesteps_T1000_{spacing}_{n}"]
    np.testing.assert_array_equal(grids.uniform(n, 0, 1000)[:-1] - 1, theirs("trailing"))
    spaced = grids.spaced(1000, f"ddim{n}")[:-1] - 1
    np.testing.assert_array_equal(spaced + hyper["steps_offset"], theirs("leading"))
