"""process/ against lucidrains' DALLE2-pytorch, whose schedules unCLIP's prior, decoder and upsamplers use."""

import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax.objectives import weightings
from diffjax.process import forward, prediction, schedules

CHAINS = {"cosine": schedules.cosine_beta, "linear": schedules.linear_beta, "sigmoid": schedules.sigmoid_beta}
GOLDEN, HYPER = reference.load("dalle2_noise_scheduler")


@pytest.mark.parametrize(("name", "steps"), HYPER["cases"])
def test_tables(name, steps):
    chain, n = CHAINS[name](steps), np.arange(1, steps + 1)
    level, previous = chain(n), chain(n - 1)
    pair = forward.pair(previous, level, chain.floor())
    ours = {
        "betas": chain.betas,
        "alphas_cumprod": level.alpha**2,
        "posterior_variance": np.exp(pair.log_variance),
        "posterior_mean_coef1": pair.mean_x0,
        "posterior_mean_coef2": pair.mean_xt,
        # of eps's error there, of x_0's here
        "p2_loss_weight": weightings.p2(HYPER["p2_gamma"], HYPER["p2_k"])(level) / np.exp(level.log_snr),
    }
    for key, value in ours.items():
        np.testing.assert_allclose(value, GOLDEN[f"{name}_{steps}__{key}"], rtol=1e-4, atol=1e-7, err_msg=key)
    # its floor of the variance is 1e-20, and here the next step's: they differ at the first step alone
    theirs = GOLDEN[f"{name}_{steps}__posterior_log_variance_clipped"]
    np.testing.assert_allclose(pair.log_small[1:], theirs[1:], rtol=1e-4)


@pytest.mark.parametrize(("name", "steps"), HYPER["cases"])
def test_functions(x64, name, steps):
    found = lambda key: GOLDEN[f"{name}_{steps}__{key}"]
    same = lambda ours, key: np.testing.assert_allclose(ours, found(key), rtol=1e-4, atol=2e-5, err_msg=key)
    x0, eps = jnp.asarray(GOLDEN["x_start"]), jnp.asarray(GOLDEN["noise"])
    chain = CHAINS[name](steps)
    level, further = chain(found("t") + 1), chain(found("t_to") + 1)
    x_t = forward.perturb(x0, eps, level)
    same(x_t, "q_sample")
    same(prediction.reading("v").target(x0, eps, level), "calculate_v")
    same(prediction.from_output("v", eps, x_t, level).x0, "predict_start_from_v")
    same(prediction.from_x0(0.5 * x0, x_t, level).eps, "predict_noise_from_start")
    # from x_0, as if it were at t, and along the given eps: no draw of q(x_t | x_s), as imagen-pytorch's
    same(forward.perturb(prediction.from_eps(eps, x0, level).x0, eps, further), "q_sample_from_to")
    weight = weightings.p2(HYPER["p2_gamma"], HYPER["p2_k"])(level) / jnp.exp(level.log_snr)
    same(weight, "p2_reweigh")
