"""Preconditioned networks against NVlabs/edm and k-diffusion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import guidance
from diffjax.process import forward, prediction, schedules

FORMS = {
    "EDMPrecond": lambda: prediction.edm_preconditioning(0.5),
    "VEPrecond": prediction.ve_preconditioning,
    "VPPrecond": lambda: prediction.vp_preconditioning(schedules.vp_linear(), 1000),
    "iDDPMPrecond": lambda: prediction.iddpm_preconditioning(schedules.cosine_beta(1000)),
}


def _inner(x, c_noise, cond):
    return jnp.tanh(0.7 * x) + 0.1 * jnp.sin(c_noise).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("where", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("name", FORMS)
def test_edm(x64, name, where):
    """The reference runs in float32, so its network is told its own labels, up to 1e-4 off of 999."""
    golden, _ = reference.load("edm_precond")
    level = schedules.edm()(where(golden["sigma"]))
    scales, labels = FORMS[name]()(level), golden[f"{name}__c_noise"]
    exact = 999 * golden["VPPrecond__t_of_sigma"] if name == "VPPrecond" else labels
    for field, ours in zip(scales._fields, scales):
        theirs = exact if field == "c_noise" else golden[f"{name}__{field}"]
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6, err_msg=field)
    x_t = jnp.asarray(golden["x"] * golden["sigma"].reshape(-1, 1, 1, 1))
    told = lambda level: FORMS[name]()(level)._replace(c_noise=labels)
    ours = prediction.preconditioned(_inner, told)(x_t, level).x0
    np.testing.assert_allclose(ours, golden[f"{name}__D"], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", FORMS)
def test_scale_of_the_signal_does_not_matter(x64, name):
    """At one sigma / alpha a form gives one x_0, whatever alpha."""
    sigma, x = np.array([0.05, 1.0, 8.0]), jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 2, 1)))
    denoise = prediction.preconditioned(_inner, FORMS[name]())
    edm, vp = schedules.edm()(sigma), schedules.vp_linear()(schedules.vp_linear().inv_sigma(sigma))
    ours = denoise(x * vp.alpha.reshape(-1, 1, 1, 1), vp).x0
    np.testing.assert_allclose(ours, denoise(x, edm).x0, rtol=1e-9, atol=1e-11)


def test_the_vp_form_wants_real_times():
    for chain in (schedules.linear_beta(100), schedules.geometric(50.0, 0.01, 100)):
        with pytest.raises(ValueError, match="vp_preconditioning needs a continuous schedule; a chain has"):
            prediction.vp_preconditioning(chain)
    prediction.vp_preconditioning(schedules.linear_beta(100).continuous())


def test_iddpm_labels_stay_on_the_chain():
    scales = prediction.iddpm_preconditioning(schedules.cosine_beta(100))
    labels = jax.jit(scales)(schedules.edm()(jnp.array([1e-9, 1e9]))).c_noise
    np.testing.assert_array_equal(labels, [0, 99])


# name in k-diffusion -> schedule, what the network predicts, its label of our time, our time of sigma / alpha
CHAIN = schedules.linear_beta(1000)
REAL = CHAIN.continuous()
WRAPPERS = {
    "VDenoiser": (schedules.vp_cosine(), "v", lambda t: t, schedules.vp_cosine().inv_sigma),
    "DiscreteEpsDDPM": (REAL, "eps", lambda t: t - 1, REAL.inv_sigma),
    "DiscreteVDDPM": (REAL, "v", lambda t: t - 1, REAL.inv_sigma),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_k_diffusion_wrappers(x64, name):
    """Its wrappers turn x_t / alpha into a denoiser; here the level does, and the network sees x_t."""
    golden, _ = reference.load("kdiff_denoisers")
    schedule, kind, label, inverse = WRAPPERS[name]
    level = schedule(inverse(golden["sigma"]))
    x_t = jnp.asarray(golden["x"] * level.sigma.reshape(-1, 1, 1, 1))
    network = lambda a, t, cond: jnp.tanh(0.6 * a) + 0.1 * jnp.cos(label(t) / 7).reshape(-1, 1, 1, 1)
    ours = prediction.denoiser(network, kind)(x_t, level).x0
    np.testing.assert_allclose(ours, golden[f"{name}__denoised"], rtol=1e-7, atol=1e-9)


def test_k_diffusion_quantizes_the_label_only(x64):
    """Its "quantize" keeps the sigma that was asked for and rounds the time the network is told."""
    golden, _ = reference.load("kdiff_denoisers")
    level = REAL(REAL.inv_sigma(golden["sigma"]))
    told = CHAIN.round_log_sigma(golden["sigma"]) - 1
    network = lambda a, t, cond: jnp.tanh(0.6 * a) + 0.1 * jnp.cos(told / 7).reshape(-1, 1, 1, 1)
    x_t = jnp.asarray(golden["x"] * level.sigma.reshape(-1, 1, 1, 1))
    ours = prediction.denoiser(network, "eps")(x_t, level).x0
    np.testing.assert_allclose(ours, golden["DiscreteEpsDDPM_quant__denoised"], rtol=1e-7, atol=1e-9)


def test_k_diffusion_preconditioning(x64):
    """EDM's, but its network is told sigma."""
    golden, hyper = reference.load("kdiff_denoisers")
    level = schedules.edm()(golden["sigma"])
    network = lambda a, t, cond: jnp.tanh(0.6 * a) + 0.1 * jnp.cos(jnp.exp(4 * t) / 7).reshape(-1, 1, 1, 1)
    denoise = prediction.preconditioned(network, prediction.edm_preconditioning(hyper["sigma_data"]))
    x_t = jnp.asarray(golden["x"] * golden["sigma"].reshape(-1, 1, 1, 1))
    for name in ("Denoiser", "Denoiser_snr", "Denoiser_softminsnr"):
        np.testing.assert_allclose(denoise(x_t, level).x0, golden[f"{name}__denoised"], rtol=1e-7, atol=1e-9)


IMAGEN = {
    "linear": schedules.vp_linear(0.0, 20.0, offset=1e-4),
    "cosine": schedules.vp_cosine(s=0.008),
}


def _imagen(golden, name):
    x0, noise = jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"])
    level, below = IMAGEN[name](golden["t"]), IMAGEN[name](golden["t_next"])
    return x0, noise, level, below, forward.perturb(x0, noise, level)


@pytest.mark.parametrize("name", IMAGEN)
def test_imagen_forward(x64, name):
    golden, hyper = reference.load("imagen_diffusion")
    x0, noise, level, below, x_t = _imagen(golden, name)
    same = lambda ours, key: np.testing.assert_allclose(
        np.broadcast_to(ours, golden[f"{name}__{key}"].shape), golden[f"{name}__{key}"], rtol=1e-6, atol=1e-9
    )
    wide = lambda a: np.reshape(a, (-1, 1, 1, 1))
    same(x_t, "q_sample")
    same(level.log_snr, "q_sample_log_snr")
    default = IMAGEN[name](np.maximum(golden["t"] - 1 / hyper["timesteps"], 0))
    for key, lower in [("q_posterior", below), ("q_posterior_default_next", default)]:
        posterior = forward.posterior(x_t, x0, lower, level)
        same(posterior.mean, f"{key}_mean")
        same(wide(posterior.log_variance), f"{key}_log_variance")
        same(np.exp(wide(posterior.log_variance)), f"{key}_variance")
    same(prediction.from_output("v", noise, x_t, level).x0, "predict_start_from_v")
    same(prediction.from_output("eps", noise, x_t, level).x0, "predict_start_from_noise")
    # Its q_sample_from_to moves along one eps, alpha_ts x + (sigma_t - alpha_ts sigma_s) eps. That is no draw
    # of q(x_t | x_s): `forward.transition` has the variance sigma_t^2 - (alpha_ts sigma_s)^2.
    moved = forward.perturb(prediction.from_eps(noise, x0, below).x0, noise, level)
    same(moved, "q_sample_from_to")
    times = np.linspace(1, 0, hyper["timesteps"] + 1)
    same(np.stack([times[:-1], times[1:]], 1), "sampling_timesteps")


# x_start with dyn has a test of its own below.
@pytest.mark.parametrize(
    ("objective", "threshold"),
    [("noise", "dyn"), ("noise", "static"), ("v", "dyn"), ("v", "static"), ("x_start", "static")],
)
@pytest.mark.parametrize("name", IMAGEN)
def test_imagen_reverse(x64, name, objective, threshold):
    golden, hyper = reference.load("imagen_diffusion")
    _, _, level, below, x_t = _imagen(golden, name)
    kind = {"noise": "eps", "x_start": "x0", "v": "v"}[objective]
    network = lambda x, t, cond: golden[f"{name}__{objective}__pred"]
    bound = {
        "dyn": guidance.dynamic_threshold(hyper["dynamic_thresholding_percentile"]),
        "static": guidance.clip(),
    }[threshold]
    predicted = bound(prediction.denoiser(network, kind))(x_t, level)
    model = forward.reverse(predicted, x_t, below, level)
    prefix = f"{name}__{objective}__{threshold}__"
    np.testing.assert_allclose(predicted.x0, golden[f"{prefix}x_start"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.mean, golden[f"{prefix}mean"], rtol=1e-6, atol=1e-9)
    variance = np.exp(model.log_variance).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(variance, golden[f"{prefix}variance"], rtol=1e-6)


@pytest.mark.parametrize("name", IMAGEN)
def test_imagen_reverse_of_a_dynamic_x_start(x64, name):
    """The reference clips a predicted x_start in place: its record of it was cut to [-1, 1] afterwards.

    What the network had said follows from the result x / s all the same, up to what the threshold hides: s is
    the one factor of all pixels that were not cut, those within s are known by it, and of those beyond the
    smallest is where the percentile lies between two of them, as it does.
    """
    golden, hyper = reference.load("imagen_diffusion")
    _, _, level, below, x_t = _imagen(golden, name)
    prefix, share = f"{name}__x_start__dyn__", hyper["dynamic_thresholding_percentile"]
    recorded, bounded = (
        golden[each].reshape(4, -1) for each in (f"{name}__x_start__pred", f"{prefix}x_start")
    )
    inside = np.abs(bounded) < 1
    whole = np.where(np.abs(recorded) < 1, recorded / bounded, np.nan)
    s = np.nanmedian(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(whole, np.where(np.isnan(whole), np.nan, s), rtol=1e-9)
    place = share * (bounded.shape[1] - 1)
    lower, part = int(place), place - int(place)
    assert (inside.sum(axis=1) == lower + 1).all()
    largest = np.where(inside, s * np.abs(bounded), 0).max(axis=1, keepdims=True)
    said = np.where(inside, s * bounded, np.sign(bounded) * (s - (1 - part) * largest) / part)
    network = lambda x, t, cond: jnp.asarray(said).reshape(x.shape)
    predicted = guidance.dynamic_threshold(share)(prediction.denoiser(network, "x0"))(x_t, level)
    model = forward.reverse(predicted, x_t, below, level)
    np.testing.assert_allclose(predicted.x0, golden[f"{prefix}x_start"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.mean, golden[f"{prefix}mean"], rtol=1e-6, atol=1e-9)
    variance = np.exp(model.log_variance).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(variance, golden[f"{prefix}variance"], rtol=1e-6)
    np.testing.assert_allclose(recorded, np.clip(said, -1, 1), rtol=1e-9)


def test_imagen_conditioning_augmentation(x64):
    golden, hyper = reference.load("imagen_diffusion")
    level = IMAGEN["linear"](np.full(4, hyper["lowres_sample_noise_level"]))
    ours = forward.perturb(jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"]), level)
    np.testing.assert_allclose(level.log_snr, golden["lowres_cond_log_snr"], rtol=1e-6)
    # its time 0.2 is a float32 number
    np.testing.assert_allclose(ours, golden["lowres_noisy"], rtol=1e-6, atol=1e-7)
