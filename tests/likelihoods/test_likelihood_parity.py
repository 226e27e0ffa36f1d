"""Likelihoods against score_sde (scipy's RK45) and k-diffusion, with their recorded probes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)


def _gaussian(mu, s2):
    """The exact denoiser of N(mu, s2)."""

    def denoise(x, level, cond=None):
        shrink = (x - level.alpha * mu) / (level.alpha**2 * s2 + level.sigma**2)
        return prediction.Prediction(mu + level.alpha * s2 * shrink, level.sigma * shrink)

    return denoise


def _schedule(name, own):
    if name == "VE":
        return schedules.ve(own["sigma_min"], own["sigma_max"])
    make = schedules.vp_linear if name == "VP" else schedules.sub_vp
    return make(own["beta_0"], own["beta_1"])


@pytest.mark.parametrize("name", ["VP", "VE"])
def test_bits_per_dim_and_latents_of_score_sde(x64, name):
    golden, hyper = reference.load("scoresde_likelihood")
    schedule, denoise = _schedule(name, hyper["sdes"][name]), _gaussian(hyper["mu"], hyper["s2"])
    x, probe = jnp.asarray(golden["data"]), golden["rademacher"][None]
    ends = [hyper["eps"], 1.0]
    for times, integrator in (
        (ends, samplers.adaptive.integrator(hyper["rtol"], hyper["atol"])),
        (np.array(schedule.inv_log_snr(np.linspace(*schedule(np.array(ends)).log_snr, 129))), None),
    ):
        log_p = samplers.log_likelihood(
            None, denoise, schedule, x, divergence="hutchinson", noise=probe, times=np.clip(times, *ends),
            integrator=integrator,
        )  # fmt: skip
        bits = samplers.dequantisation.bits_per_dim(log_p, x[0].size)
        np.testing.assert_allclose(bits, golden[f"{name}__bpd"], rtol=1e-4)
    z = samplers.adaptive.sample_ode(
        KEY, denoise, schedule, x_init=x, times=ends, rtol=hyper["rtol"], atol=hyper["atol"]
    )
    np.testing.assert_allclose(z, golden[f"{name}__z"], rtol=1e-4)


def test_log_likelihood_of_k_diffusion(x64):
    golden, hyper = reference.load("kdiff_log_likelihood")
    schedule = schedules.edm(hyper["sigma_min"], hyper["sigma_max"])
    x, probe = jnp.asarray(golden["x"]), 2 * golden["v01"][None] - 1
    options = {"divergence": "hutchinson", "noise": probe}
    adaptive = samplers.adaptive.integrator(hyper["rtol"], hyper["atol"])
    for integrator, steps in ((adaptive, 1), (samplers.integrators.rk4(), 256)):
        log_p = samplers.log_likelihood(
            None, _gaussian(hyper["mu"], hyper["s2"]), schedule, x, integrator=integrator,
            times=samplers.likelihood_grid(steps, schedule), **options,
        )  # fmt: skip
        np.testing.assert_allclose(log_p, golden["log_likelihood"], rtol=1e-5)
