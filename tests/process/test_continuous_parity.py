"""Continuous schedules and their equations against score_sde, k-diffusion, EDM, VDM and latent diffusion."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax.process import forward, gaussian, learned, prediction, schedules, sde
from diffjax.process.gaussian import Gaussian

# sde_lib's N = 1000; its DDPM chain has beta_i from 0.1 / N to 20 / N
SDES = {
    "VP": (schedules.vp_linear(), schedules.linear_beta(1000, 1e-4, 0.02)),
    "subVP": (schedules.sub_vp(), None),
    "VE": (schedules.ve(), schedules.geometric(50.0, 0.01, 1000)),
}


def _model(golden, x, labels):
    a, b, c = (golden[key] for key in "abc")
    return a * x * jnp.cos(jnp.asarray(labels).reshape(-1, 1, 1, 1) / c) + b


@pytest.mark.parametrize("name", SDES)
def test_score_sde(x64, name):
    golden, hyper = reference.load("scoresde_sdes")
    (schedule, chain), x, t = SDES[name], jnp.asarray(golden["x"]), golden["t"]
    level = schedule(t)
    score = -0.7 * x + t.reshape(-1, 1, 1, 1)
    g = sde.diffusion(schedule, t)
    prior = Gaussian(jnp.zeros_like(x), 2 * np.log(schedule.prior_std))
    at_prior = x * schedule.prior_std
    # labels of the network: 999 t, and for VE the noise level itself
    output = _model(hyper, x, level.sigma if name == "VE" else 999 * t)
    predicted = prediction.from_output("score" if name == "VE" else "eps", output, x, level)
    ours = {
        "mean": forward.marginal(x, level).mean,
        "std": level.sigma,
        "drift": sde.drift(schedule, x, t),
        "diffusion": g,
        "prior_logp": gaussian.log_prob(prior, at_prior).sum((1, 2, 3)),
        "rev__drift": sde.reverse_drift(schedule, score, x, t),
        "rev__diffusion": g,
        "rev_pf__drift": sde.probability_flow(schedule, score, x, t),
        "score_from_model_cont": prediction.score(predicted, level),
    }
    ours |= _discretized(golden, name, schedule, chain, x, score, t)
    for key, value in ours.items():
        np.testing.assert_allclose(value, golden[f"{name}__{key}"], rtol=1e-9, atol=1e-12, err_msg=key)


def _discretized(golden, name, schedule, chain, x, score, t):
    """x_{i+1} = x_i + f + G z: Euler's for sub-VP, else the chain's step i -> i + 1, i = floor(999 t)."""
    wide = lambda a: np.reshape(a, (-1, 1, 1, 1))
    if chain is None:
        shift, spread = sde.drift(schedule, x, t) / 1000, sde.diffusion(schedule, t) / np.sqrt(1000)
    else:
        i = (t * 999).astype(int)
        step = forward.pair(chain(i), chain(i + 1))
        shift, spread = wide(step.alpha_ts - 1) * x, np.exp(0.5 * step.log_var_ts)
    return {
        "disc_f": shift,
        "disc_G": spread,
        "rev__disc_f": shift - wide(spread**2) * score,
        "rev__disc_G": spread,
        "rev_pf__disc_f": shift - 0.5 * wide(spread**2) * score,
    }


def test_score_sde_chains(x64):
    """Its discrete score: VP divides by the chain's sigma at floor(999 t), VE labels levels from the top."""
    golden, hyper = reference.load("scoresde_sdes")
    x, t = jnp.asarray(golden["x"]), golden["t"]
    vp, ve = SDES["VP"][1], SDES["VE"][1]
    np.testing.assert_allclose(vp.betas, golden["VP__discrete_betas"], rtol=1e-12)
    np.testing.assert_allclose(vp.alpha[1:] ** 2, golden["VP__alphas_cumprod"], rtol=1e-9)
    np.testing.assert_allclose(ve.sigma[1:], golden["VE__discrete_sigmas"], rtol=1e-9)
    np.testing.assert_allclose(ve.sigma[:0:-1], golden["ncsn_sigmas_max50.0_min0.01_n1000"], rtol=1e-9)
    ten = schedules.geometric(1.0, 0.01, 10)
    np.testing.assert_allclose(ten.sigma[:0:-1], golden["ncsn_sigmas_max1.0_min0.01_n10"], rtol=1e-9)
    level = vp((t * 999).astype(int) + 1)
    eps = prediction.from_output("eps", _model(hyper, x, 999 * t), x, level)
    np.testing.assert_allclose(prediction.score(eps, level), golden["VP__score_from_model_disc"], rtol=1e-9)
    labels = np.rint((1 - t) * 999)
    score = prediction.from_output("score", _model(hyper, x, labels), x, ve(1000 - labels))
    np.testing.assert_allclose(
        prediction.score(score, ve(1000 - labels)), golden["VE__score_from_model_disc"], rtol=1e-9
    )


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_imagen_schedules(name):
    golden, _ = reference.load("imagen_diffusion")
    schedule = IMAGEN[name]
    level = schedule(golden["times"])
    # cos(pi / 2) is 6e-17 there and 0 here; log SNR -75 and -inf
    last = -1 if name == "cosine" else None
    np.testing.assert_allclose(level.log_snr[:last], golden[f"{name}__log_snr"][:last], rtol=1e-6)
    np.testing.assert_allclose(level.alpha, golden[f"{name}__alpha"], rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(level.sigma, golden[f"{name}__sigma"], rtol=1e-7)


IMAGEN = {
    "linear": schedules.vp_linear(0.0, 20.0, offset=1e-4),
    "cosine": schedules.vp_cosine(s=0.008),
}


@pytest.mark.parametrize("kind", ["learnable_nnet", "learnable_scalar", "fixed"])
def test_vdm_gamma(kind):
    golden, _ = reference.load("vdm")
    level = vdm_schedule(golden, kind)(golden["gamma_times"])
    # float32 sums of terms up to 18 there
    np.testing.assert_allclose(-level.log_snr, golden[f"{kind}__gamma_t"], rtol=1e-5, atol=2e-6)
    for end, key in [(level.sigma[0] ** 2, "var_0"), (level.sigma[-1] ** 2, "var_1")]:
        np.testing.assert_allclose(end, golden[f"{kind}__T0__iid__{key}"][0], rtol=2e-5)


def vdm_schedule(golden, kind):
    """The golden file's schedule with its recorded parameters."""
    if kind == "fixed":
        return schedules.log_snr_linear(13.3, -5.0)
    names = {"w": "w", "b": "b"}
    if kind == "learnable_nnet":
        names = {"w": "l1/kernel", "b": "l1/bias", "w2": "l2/kernel", "b2": "l2/bias", "w3": "l3/kernel"}
    params = {ours: jnp.ravel(golden[f"{kind}__param__{theirs}"]) for ours, theirs in names.items()}
    return schedules.learned(functools.partial(learned.monotone, params))


def test_k_diffusion_times():
    """sigma_to_t, its quantized form and get_sigmas: our times of a chain are theirs plus one."""
    golden, _ = reference.load("kdiff_denoisers")
    chain, sigma = schedules.linear_beta(1000), golden["sigma"]
    np.testing.assert_allclose(chain.alpha[1:] ** 2, golden["alphas_cumprod"], rtol=1e-9)
    real = chain.continuous()
    grid = real(np.linspace(1000, 1, 10))
    for name in ("DiscreteEpsDDPM", "DiscreteVDDPM"):
        np.testing.assert_allclose(real.inv_sigma(sigma) - 1, golden[f"{name}__t"], rtol=1e-5)
        theirs = golden[f"{name}__get_sigmas_10"]
        np.testing.assert_allclose(grid.sigma / grid.alpha, theirs[:-1], rtol=1e-5)
    np.testing.assert_array_equal(chain.round_log_sigma(sigma) - 1, golden["DiscreteEpsDDPM_quant__t"])
    np.testing.assert_allclose(schedules.vp_cosine().inv_sigma(sigma), golden["VDenoiser__t"], rtol=1e-7)


def test_edm_tables():
    golden, _ = reference.load("edm_precond")
    cosine, sigma = schedules.cosine_beta(1000), golden["sigma"]
    # its recursion runs in float32 over 1 + u^2
    ratio = (cosine.sigma / cosine.alpha)[::-1]
    np.testing.assert_allclose(1 + ratio**2, 1 + np.float64(golden["iDDPMPrecond__u"]) ** 2, rtol=2e-6)
    n = cosine.round_sigma(sigma)
    np.testing.assert_array_equal(1000 - n, golden["iDDPMPrecond__round_index"])
    rounded = (cosine(n).sigma / cosine(n).alpha) ** 2
    np.testing.assert_allclose(1 + rounded, 1 + golden["iDDPMPrecond__round_sigma"] ** 2, rtol=2e-6)
    vp = schedules.vp_linear()
    np.testing.assert_allclose(vp.inv_sigma(sigma), golden["VPPrecond__t_of_sigma"], rtol=1e-5)
    level = vp(golden["VPPrecond__t"])
    np.testing.assert_allclose(level.sigma / level.alpha, golden["VPPrecond__sigma_of_t"], rtol=1e-5)


LATENT = {
    "linear_1000": schedules.scaled_linear(1000, 0.0015, 0.0195),
    "cosine_1000": schedules.cosine_beta(1000),
}


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("grid", ["ddim_uniform_10", "ddim_uniform_50", "ddim_quad_10", "ddim_quad_50"])
def test_latent_diffusion_steps(name, grid):
    """DDIM's numbers over latent diffusion's own steps, which end at its index 0, our n = 1, not on data."""
    golden, _ = reference.load("ldm_schedules")
    chain = LATENT[name]
    np.testing.assert_allclose(chain.betas, golden[f"{name}__betas"], rtol=1e-6)
    keys = ("timesteps", "alphas", "alphas_prev", "sigmas_eta1.0")
    theirs = {key: golden[f"{name}__{grid}__{key}"] for key in keys}
    n = theirs["timesteps"] + 1
    before = np.append(1, n[:-1])
    moves = n > before  # its quadratic grid visits a step twice, where nothing happens
    pair = forward.pair(chain(before[moves]), chain(n[moves]))
    np.testing.assert_allclose(chain(n).alpha ** 2, theirs["alphas"], rtol=1e-9)
    np.testing.assert_allclose(chain(before).alpha ** 2, theirs["alphas_prev"], rtol=1e-9)
    np.testing.assert_allclose(np.exp(0.5 * pair.log_variance), theirs["sigmas_eta1.0"][moves], rtol=1e-6)
    assert (theirs["sigmas_eta1.0"][~moves] == 0).all()
