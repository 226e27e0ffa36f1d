"""The bound in continuous time: closed forms on Gaussian data, and VDM's own numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
import reference
from scipy import stats

from diffjax import exact, objectives
from diffjax.process import continuous_elbo, forward, gaussian, learned, prediction, schedules
from diffjax.process.gaussian import Gaussian

PARAMS = {"w": [18.0], "b": [-13.0], "w2": [1.0, 20.0], "b2": [0.0, 4.0], "w3": [5.0, 3.0]}
PARAMS = {name: jnp.array(value) for name, value in PARAMS.items()}
GAMMA = functools.partial(learned.monotone, PARAMS)


def _gaussian_bound(schedule, v, num_steps=None):
    """E of the diffusion and the other terms for N(0, v) data and their exact denoiser, by quadrature."""
    mixture = exact.gaussian_mixture([1.0], [[0.0]], [v])
    nodes, weights = mixtures.hermite(3)  # each term is quadratic in x_0 and eps
    x0, eps = (jnp.asarray(a.reshape(-1, 1)) for a in np.meshgrid(np.sqrt(v) * nodes, nodes))
    weights = np.outer(weights, weights).ravel()
    ends = {"level_0": schedule(schedule.t_min), "level_1": schedule(schedule.t_max)}
    span = schedule.t_max - schedule.t_min

    def expected(t, s=None):
        drawn = continuous_elbo.terms(
            mixture.denoiser(), x0, eps, schedule(t), eps_0=eps, **ends, values=None, span=span,
            level_s=s if s is None else schedule(s), num_steps=num_steps, prior_std=schedule.prior_std,
        )  # fmt: skip
        return jnp.stack([drawn[k] @ weights for k in ("diffusion", "prior", "reconstruction")])

    if num_steps is None:
        points, t_weights = np.polynomial.legendre.leggauss(200)
        t = schedule.t_min + span * (points + 1) / 2
        return np.asarray(jax.lax.map(expected, jnp.asarray(t))).T @ (t_weights / 2)
    t = schedule.t_min + span * np.arange(num_steps + 1) / num_steps
    pairs = jnp.asarray(t[1:]), jnp.asarray(t[:-1])
    return np.asarray(jax.lax.map(lambda p: expected(*p), pairs)).mean(0)


SCHEDULES = {
    "linear": schedules.log_snr_linear(13.0, -5.0),
    "learned": schedules.learned(GAMMA),
    "cosine": schedules.vp_cosine(log_snr_min=-5, log_snr_max=13),
    "sub_vp": dataclasses.replace(schedules.sub_vp(), t_min=0.05),
    "edm": schedules.edm(0.2, 5.0),
}


@pytest.mark.parametrize("v", [0.3, 2.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_diffusion_loss_depends_on_the_ends_alone(x64, name, v):
    """L = 1/2 log((1 + v SNR_max) / (1 + v SNR_min)); what remains is the entropy of data seen at SNR_max."""
    schedule = SCHEDULES[name]
    first, last = (schedule(t) for t in (schedule.t_min, schedule.t_max))
    snr_max, snr_min = np.exp(first.log_snr), np.exp(last.log_snr)
    diffusion, prior, seen = _gaussian_bound(schedule, v)
    closed = 0.5 * np.log((1 + v * snr_max) / (1 + v * snr_min))
    np.testing.assert_allclose(diffusion, closed, rtol=1e-8)
    ratio = (last.alpha**2 * v + last.sigma**2) / schedule.prior_std**2
    spread = last.sigma**2 / schedule.prior_std**2
    np.testing.assert_allclose(prior, 0.5 * (ratio - 1 - np.log(spread)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen, 0.5 * np.log(2 * np.pi * np.e / snr_max), rtol=1e-9)


def test_steps_approach_continuous_time(x64):
    """L_T >= L_inf, and doubling T halves the gap."""
    schedule = SCHEDULES["linear"]
    limit = 0.5 * np.log((1 + np.exp(schedule(0.0).log_snr)) / (1 + np.exp(schedule(1.0).log_snr)))
    gaps = [_gaussian_bound(schedule, 1.0, steps)[0] - limit for steps in (200, 400, 800, 1600)]
    assert min(gaps) > 0
    np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 2, atol=0.05)


def test_gaps_of_few_steps(x64):
    """L_T - L_inf in nats by its sum over the steps; an independent script made the numbers."""
    schedule, v = schedules.log_snr_linear(13.3, -5.0), 0.25
    limit = 0.5 * np.log((1 + v * np.exp(13.3)) / (1 + v * np.exp(-5.0)))
    gaps = [_gaussian_bound(schedule, v, steps)[0] - limit for steps in (10, 20, 40, 80, 160)]
    np.testing.assert_allclose(gaps, [9.772, 3.413, 1.452, 0.672, 0.324], atol=6e-4)


def test_the_step_around_a_time():
    schedule = schedules.edm(0.5, 2.5)
    s, t = continuous_elbo.step_around(schedule, jnp.array([0.5, 0.6, 0.9, 1.2, 2.5]), 4)
    np.testing.assert_allclose(s, [0.5, 0.5, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(t, [1.0, 1.0, 1.0, 1.5, 2.5])


def test_estimate_of_the_bound():
    schedule, v = schedules.log_snr_linear(10.0, -5.0), 0.3
    x0 = np.sqrt(v) * jax.random.normal(jax.random.key(3), (4000, 1))
    denoise = exact.gaussian_mixture([1.0], [[0.0]], [v]).denoiser()
    for steps in (None, 300):
        bits = continuous_elbo.bits_per_dim(
            jax.random.key(0), denoise, schedule, x0, num_steps=steps, draws=4, values=None
        )
        with jax.enable_x64(True):
            expected = _gaussian_bound(schedule, v, steps) / np.log(2)
        for name, value in zip(("diffusion", "prior", "reconstruction"), expected):
            error = np.std(bits[name]) / np.sqrt(len(x0))
            assert abs(bits[name].mean() - value) < 4 * error + 1e-4, name
        parts = bits["diffusion"] + bits["prior"] + bits["reconstruction"]
        np.testing.assert_allclose(bits["total"], parts, rtol=1e-6)


def test_decoder_is_a_distribution_over_the_values(x64):
    values = np.array([-1.0, -0.2, 0.5, 1.0])
    x = jnp.asarray(values)
    g = Gaussian(jnp.full(4, 0.1), np.log(0.3**2))
    density = stats.norm(0.1, 0.3).pdf(values)
    ours = gaussian.categorical_log_prob(g, x, values)
    np.testing.assert_allclose(np.exp(ours), density / density.sum(), rtol=1e-10)


def test_bad_options_are_named():
    schedule, x = schedules.linear_beta(10), jnp.ones((2, 1))
    ends = {"eps_0": x, "level_0": schedule(1), "level_1": schedule(10)}
    denoise = exact.gaussian_mixture([1.0], [[0.0]], [1.0]).denoiser()
    with pytest.raises(ValueError, match="level_s and num_steps go together"):
        continuous_elbo.terms(denoise, x, x, schedule(5), level_s=schedule(4), **ends)
    with pytest.raises(ValueError, match="d log SNR / dt needs"):
        continuous_elbo.terms(denoise, x, x, schedule(5), **ends)


def test_gradient_in_the_schedule_is_that_of_the_squared_loss(x64):
    """In what is between the ends; in the ends and the network it is the plain one."""
    params = learned.init(jax.random.key(0), width=4) | {"w2": jnp.arange(1.0, 5.0), "w3": jnp.ones(4) * 9}
    params = jax.tree.map(jnp.float64, params)
    x0, eps, eps_0 = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 2)))
    t = (0.3 + jnp.arange(6) / 6) % 1
    shared = {"ends": jnp.array([-8.0, 4.0]), "scale": jnp.float64(0.8)}

    def losses(shared, own):
        level = lambda w, d_w, t: learned.anchored(shared["ends"], w, d_w, t)
        network = lambda x, gamma, cond: shared["scale"] * jnp.tanh(x) + 0.1 * gamma[:, None]
        denoise = prediction.denoiser(network, "eps", label=lambda level: -level.log_snr)
        zero, one = jnp.zeros(()), jnp.ones(())
        return objectives.variational(
            denoise, x0, eps, level(*own, t), eps_0=eps_0, level_0=level(zero, one, zero),
            level_1=level(one, one, one), values=None,
        )[0]  # fmt: skip

    def mean(loss, power):
        return lambda shared, params: (loss(shared, learned.position(params, t)) ** power).mean()

    quiet = objectives.reducing_variance(losses)

    @jax.jit
    def all_gradients(shared, params):
        return (
            jax.value_and_grad(mean(quiet, 1), (0, 1))(shared, params),
            jax.value_and_grad(mean(losses, 1))(shared, params),
            jax.grad(mean(losses, 2), 1)(shared, params),
        )

    (value, (of_shared, of_params)), (plain, expected_shared), expected_params = all_gradients(shared, params)
    same = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    jax.tree.map(same, (value, of_shared, of_params), (plain, expected_shared, expected_params))


def test_position_runs_from_end_to_end(x64):
    t = jnp.linspace(0, 1, 7)
    w, rate = jax.jit(learned.position)(PARAMS, t)
    assert w[0] == 0 and w[-1] == 1 and (jnp.diff(w) > 0).all()
    slope = jax.jit(jax.vmap(jax.grad(lambda t: learned.position(PARAMS, t)[0])))(t)
    np.testing.assert_allclose(rate, slope, rtol=1e-12)
    ends = -schedules.learned(GAMMA)(np.array([0.0, 1.0])).log_snr
    whole, pieces = schedules.learned(GAMMA)(t), learned.anchored(ends, w, rate, t)
    for ours, theirs in zip(pieces, whole):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


# --- google-research/vdm, run in float32 -----------------------------------------------------------

VDM_VALUES = 2 * (np.arange(256) + 0.5) / 256 - 1


def _vdm(kind):
    golden, _ = reference.load("vdm")
    schedule = reference.vdm_schedule(golden, kind)
    x0 = jnp.asarray(VDM_VALUES[golden["images"]])

    def network(z, gamma, cond):
        wide = lambda a: jnp.asarray(a).reshape(-1, 1, 1, 1)
        return 0.8 * jnp.tanh(z) + 0.1 * jnp.sin(wide(gamma) / 5) + 0.05 * wide(cond)

    return golden, schedule, x0, prediction.denoiser(network, "eps", label=lambda level: -level.log_snr)


@pytest.mark.parametrize("times", ["anti", "iid"])
@pytest.mark.parametrize("steps", [0, 1000])
@pytest.mark.parametrize("kind", ["fixed", "learnable_scalar", "learnable_nnet"])
def test_vdm_losses(x64, kind, steps, times):
    golden, schedule, x0, denoise = _vdm(kind)
    np.testing.assert_allclose(x0, golden[f"{kind}__encode"], atol=1e-7)
    u = (golden["u_antithetic"] + np.arange(3) / 3) % 1 if times == "anti" else golden["u_iid"]
    t = np.ceil(u * steps) / steps if steps else np.float64(u)
    drawn = continuous_elbo.terms(
        denoise, x0, jnp.asarray(golden["eps_t"]), schedule(t), golden["conditioning"],
        eps_0=jnp.asarray(golden["eps_0"]), level_0=schedule(0.0), level_1=schedule(1.0),
        level_s=schedule(t - 1 / steps) if steps else None, num_steps=steps or None, values=VDM_VALUES,
    )  # fmt: skip
    prefix, dims = f"{kind}__T{steps}__{times}__loss_", x0[0].size
    for name, key in [("diffusion", "diff"), ("prior", "klz"), ("reconstruction", "recon")]:
        # the reconstruction is e^-10 and less with the network's gamma, which float32 rounds to 0
        np.testing.assert_allclose(dims * drawn[name], golden[prefix + key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["fixed", "learnable_scalar", "learnable_nnet"])
def test_vdm_decoder_and_steps(x64, kind):
    golden, schedule, x0, denoise = _vdm(kind)
    z, eps = jnp.asarray(golden["eps_0"], jnp.float64), jnp.asarray(golden["eps_t"], jnp.float64)
    seen = Gaussian(0.3 * z, -schedule(0.0).log_snr)
    log_p = gaussian.categorical_log_prob(seen, x0, VDM_VALUES).sum((1, 2, 3))
    np.testing.assert_allclose(log_p, golden[f"{kind}__logprob_z0.3eps0"], rtol=1e-4)
    for i in (0, 4, 9):
        level_s, level_t = schedule((9 - i) / 10), schedule((10 - i) / 10)
        predicted = denoise(z, level_t, golden["conditioning"])
        step = forward.reverse(predicted, z, level_s, level_t)
        spread = np.exp(0.5 * step.log_variance)
        # its sigma_s^2 = 1 - alpha_s^2 is a float32 difference, off by 6e-8 of 6e-7
        lost = spread * np.abs(eps) * 3e-8 / level_s.sigma**2
        off = np.abs(step.mean + spread * eps - golden[f"{kind}__sample_i{i}_T10"])
        assert (off < 1e-5 + lost).all()
