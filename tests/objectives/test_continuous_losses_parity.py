"""Losses in continuous time against score_sde, EDM, k-diffusion, Imagen and consistency models' teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import objectives
from diffjax.objectives import weightings
from diffjax.process import prediction, schedules

SDES = {"VP": schedules.vp_linear(), "subVP": schedules.sub_vp(), "VE": schedules.ve()}


def _score_sde():
    golden, hyper = reference.load("scoresde_losses")
    model = lambda x, labels: hyper["a"] * x * jnp.cos(labels.reshape(-1, 1, 1, 1) / hyper["c"]) + hyper["b"]
    return golden, model, jnp.asarray(golden["data"]), jnp.asarray(golden["z"])


def _reduced(golden, losses, key):
    """mean1: over dimensions and batch; mean0: half the sum over dimensions, then over the batch."""
    np.testing.assert_allclose(losses.mean(), golden[f"{key}_mean1"], rtol=1e-8)
    np.testing.assert_allclose(0.5 * 192 * losses.mean(), golden[f"{key}_mean0"], rtol=1e-8)


@pytest.mark.parametrize("name", SDES)
def test_score_sde(x64, name):
    golden, model, x0, z = _score_sde()
    level = SDES[name](golden["t"])
    # VP and sub-VP networks see 999 t and predict eps; VE's see sigma and give the score
    kind = "score" if name == "VE" else "eps"
    network = lambda x, t, cond: model(x, jnp.asarray(level.sigma) if name == "VE" else 999 * t)
    loss = lambda weighting: objectives.denoising(network, x0, z, level, kind=kind, weighting=weighting)[0]
    _reduced(golden, loss(weightings.snr()), f"{name}__lw0")
    _reduced(golden, loss(weightings.likelihood()), f"{name}__lw1")


def test_score_sde_chains(x64):
    golden, model, x0, z = _score_sde()
    vp, ve = schedules.linear_beta(1000), schedules.geometric(50.0, 0.01, 1000)
    labels = golden["labels_ddpm"]
    network = lambda x, t, cond: model(x, t - 1)
    _reduced(golden, objectives.denoising(network, x0, z, vp(labels + 1))[0], "ddpm")
    labels = golden["labels_smld"]  # from the noisiest level down
    network = lambda x, t, cond: model(x, 1000 - t)
    loss, _ = objectives.denoising(
        network, x0, z, ve(1000 - labels), kind="score", weighting=weightings.snr()
    )
    _reduced(golden, loss, "smld")


EDM = {
    "EDMLoss": (weightings.edm(0.5), lambda u, n: np.exp(-1.2 + 1.2 * n)),
    "VPLoss": (weightings.snr(), lambda u, n: _ratio(schedules.vp_linear(), 1 + u * (1e-5 - 1))),
    "VELoss": (weightings.snr(), lambda u, n: _ratio(schedules.ve(0.02, 100.0), u)),
}


def _ratio(schedule, t):
    level = schedule(t)
    return level.sigma / level.alpha


@pytest.mark.parametrize("name", EDM)
def test_edm(x64, name):
    """A network that gives D is kind "x0"; the levels are uniform times of VP and VE, log-normal of EDM."""
    golden, _ = reference.load("edm_losses")
    weighting, draw = EDM[name]
    level = schedules.edm()(golden[f"{name}__sigma"].ravel())
    drawn = draw(golden["rnd_uniform"], golden["rnd_normal"])
    np.testing.assert_allclose(drawn, golden[f"{name}__sigma"], rtol=1e-9)
    np.testing.assert_allclose(weighting(level), golden[f"{name}__weight"], rtol=1e-8)
    network = lambda x, t, cond: jnp.tanh(x) / (1 + t).reshape(-1, 1, 1, 1)
    images, noise = jnp.asarray(golden["images"]), jnp.asarray(golden["noise"])
    loss, _ = objectives.denoising(network, images, noise, level, kind="x0", weighting=weighting)
    np.testing.assert_allclose(loss, golden[f"{name}__loss"].mean((1, 2, 3)), rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "kind", "schedule", "shift"),
    [
        ("VDenoiser", "v", schedules.vp_cosine(), 0),
        ("DiscreteEpsDDPM", "eps", schedules.linear_beta(1000).continuous(), 1),
        ("DiscreteVDDPM", "v", schedules.linear_beta(1000).continuous(), 1),
    ],
)
def test_k_diffusion(x64, name, kind, schedule, shift):
    golden, _ = reference.load("kdiff_denoisers")
    level = schedule(schedule.inv_sigma(golden["sigma"]))
    network = lambda a, t, cond: jnp.tanh(0.6 * a) + 0.1 * jnp.cos((t - shift) / 7).reshape(-1, 1, 1, 1)
    loss, _ = objectives.denoising(
        network, jnp.asarray(golden["x"]), jnp.asarray(golden["noise"]), level, kind=kind
    )
    np.testing.assert_allclose(loss, golden[f"{name}__loss"], rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "weighting"),
    [
        ("Denoiser", None),
        ("Denoiser_snr", weightings.snr()),
        ("Denoiser_softminsnr", weightings.soft_min_snr(4.0)),
    ],
)
def test_k_diffusion_preconditioned(x64, name, weighting):
    golden, hyper = reference.load("kdiff_denoisers")
    level = schedules.edm()(golden["sigma"])
    network = lambda a, t, cond: jnp.tanh(0.6 * a) + 0.1 * jnp.cos(jnp.exp(4 * t) / 7).reshape(-1, 1, 1, 1)
    loss, _ = objectives.preconditioned(
        network, jnp.asarray(golden["x"]), jnp.asarray(golden["noise"]), level,
        preconditioning=prediction.edm_preconditioning(hyper["sigma_data"]), weighting=weighting,
    )  # fmt: skip
    np.testing.assert_allclose(loss, golden[f"{name}__loss"], rtol=1e-7)


@pytest.mark.parametrize(("objective", "kind"), [("noise", "eps"), ("x_start", "x0"), ("v", "v")])
def test_imagen_min_snr(x64, objective, kind):
    golden, _ = reference.load("imagen_diffusion")
    level = schedules.vp_linear(0.0, 20.0, offset=1e-4)(golden["times"])
    x0, eps = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 2, 2)))
    network = lambda x, t, cond: jnp.tanh(x)
    plain, weighted = (
        objectives.denoising(network, x0, eps, level, kind=kind, weighting=w)[0]
        for w in (None, weightings.min_snr(5.0))
    )
    np.testing.assert_allclose(weighted / plain, golden[f"minsnr5__{objective}"], rtol=1e-6)


def test_score_matching_of_consistency_models(x64):
    """EDM's loss with log-normal levels; its scalar sums over dimensions and averages what a mask leaves."""
    golden, hyper = reference.load("jcm_losses")
    a, b, c = hyper["student"]
    network = lambda x, t, cond: jnp.tanh(a * x) + b * jnp.sin(t / c).reshape(-1, 1, 1, 1)
    level = schedules.edm()(np.exp(1.2 * golden["zt"] - 1.2))
    loss, _ = objectives.preconditioned(
        network, jnp.asarray(golden["image"]), jnp.asarray(golden["z"]), level,
        preconditioning=prediction.edm_preconditioning(hyper["kvesde"]["data_std"]),
    )  # fmt: skip
    np.testing.assert_allclose(np.average(loss, weights=golden["mask"]) * 192, golden["dsm_kve"], rtol=1e-7)


def test_denoisers_of_consistency_models(x64):
    golden, hyper = reference.load("jcm_losses")
    a, b, c = hyper["student"]
    network = lambda x, t, cond: jnp.tanh(a * x) + b * jnp.sin(t / c).reshape(-1, 1, 1, 1)
    level = schedules.edm()(golden["t_grid"])
    x_t = jnp.asarray(golden["image"] * golden["t_grid"].reshape(-1, 1, 1, 1))
    predicted = prediction.preconditioned(network, prediction.edm_preconditioning(0.5))(x_t, level)
    np.testing.assert_allclose(predicted.x0, golden["denoiser_fn"], rtol=1e-7, atol=1e-9)
    ours = prediction.score(predicted, level)
    np.testing.assert_allclose(ours, golden["score_fn"], rtol=1e-7, atol=1e-8 * np.abs(ours).max())


def test_jit_of_preconditioned_loss():
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4))
    level = schedules.edm()(jnp.array([0.002, 0.5, 80.0]))
    loss = lambda x0: objectives.preconditioned(
        lambda x, t, cond: jnp.tanh(x), x0, eps, level, preconditioning=prediction.edm_preconditioning(0.5)
    )[0]
    with jax.enable_x64(True):
        exact = loss(np.float64(x0))
    np.testing.assert_allclose(jax.jit(loss)(x0), exact, rtol=1e-4)
