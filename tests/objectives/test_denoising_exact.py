"""The denoising loss: its minimum on exact mixtures, and the identities between parameterizations."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import exact, objectives
from diffjax.objectives import weightings
from diffjax.process import prediction, schedules

SCHEDULES = {
    "chain": (schedules.linear_beta(1000), np.array([3, 200, 600, 950])),
    "edm": (schedules.edm(), np.array([0.05, 0.5, 2.0, 30.0])),
    "flow": (schedules.rectified_flow(), np.array([0.05, 0.3, 0.6, 0.95])),
}
MIXTURE = exact.gaussian_mixture([0.3, 0.7], [[-1.0], [0.8]], [0.2, 0.05])


def _expected_eps_loss(predict, level):
    """E over (x_0, eps) of the eps loss, by quadrature: nodes are the batch."""
    nodes, weights = mixtures.hermite(60)
    total = 0.0
    for w, m, v in zip(MIXTURE.weights, MIXTURE.means[:, 0], MIXTURE.spectra[:, 0]):
        x0, eps = (jnp.asarray(a.reshape(-1, 1)) for a in np.meshgrid(m + np.sqrt(v) * nodes, nodes))
        network = lambda x, t, cond: predict(x, level)
        loss, _ = objectives.denoising(network, x0, eps, level)
        total += w * float(loss @ np.outer(weights, weights).ravel())
    return total


@pytest.mark.parametrize("name", SCHEDULES)
def test_exact_denoiser_minimises_the_loss_at_its_known_value(x64, name):
    """min E||s + eps / sigma||^2 = d / sigma^2 - E||grad log p||^2, here times sigma^2."""
    schedule, times = SCHEDULES[name]
    level = schedule(times[2])
    z = jnp.linspace(-12, 12, 40001)[:, None] * np.sqrt(level.alpha**2 + level.sigma**2)
    density = jnp.exp(MIXTURE.log_prob(z, level)) * (z[1, 0] - z[0, 0])
    fisher = float((density * MIXTURE.score(z, level)[:, 0] ** 2).sum())
    best = _expected_eps_loss(lambda x, level: MIXTURE.predict(x, level).eps, level)
    np.testing.assert_allclose(best, 1 - level.sigma**2 * fisher, rtol=1e-7)
    # any other prediction costs the mean square of what it adds
    bump = lambda x: 0.3 * jnp.cos(x / level.sigma)
    other = _expected_eps_loss(lambda x, level: MIXTURE.predict(x, level).eps + bump(x), level)
    np.testing.assert_allclose(other - best, float((density * bump(z)[:, 0] ** 2).sum()), rtol=1e-6)


def _case(name):
    schedule, times = SCHEDULES[name]
    below = schedule(times - 1 if name == "chain" else 0.7 * times)
    x0, eps = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3, 2)))
    return schedule(times), below, x0, eps


def _guess(kind, level, below):
    """A wrong network of a kind; all kinds say the same x_0 = tanh(x_t)."""

    def network(x_t, t, cond):
        read = prediction.from_x0(jnp.tanh(x_t), x_t, level)
        return prediction.target(kind, read.x0, read.eps, level, below)

    return network


def _square(value):
    return np.mean(np.asarray(value).reshape(4, -1) ** 2, axis=1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_losses_of_every_kind_agree_under_one_weighting(x64, name):
    level, below, x0, eps = _case(name)
    snr = (level.alpha / level.sigma) ** 2
    x_t = level.alpha[:, None, None] * x0 + level.sigma[:, None, None] * eps
    error = _square(jnp.tanh(x_t) - x0)
    for kind in prediction.KINDS:
        if kind == "velocity" and name == "chain":
            continue
        network = _guess(kind, level, below)
        loss, aux = objectives.denoising(
            network, x0, eps, level, kind=kind, weighting=weightings.snr(), level_s=below
        )
        np.testing.assert_allclose(loss, snr * error, rtol=1e-6)
        np.testing.assert_allclose(aux["x_t"], x_t, rtol=1e-12)
        np.testing.assert_allclose(aux["prediction"].x0, jnp.tanh(x_t), rtol=1e-6, atol=1e-7)
    plain = lambda kind: objectives.denoising(_guess(kind, level, below), x0, eps, level, kind=kind)[0]
    np.testing.assert_allclose(plain("x0"), error, rtol=1e-9)
    np.testing.assert_allclose(plain("eps"), snr * error, rtol=1e-9)
    if name == "chain":
        np.testing.assert_allclose(plain("v"), (1 + snr) * error, rtol=1e-9)
    if name == "flow":  # u = eps - x_0 with x_t fixed: d u = -d x_0 / t
        np.testing.assert_allclose(plain("velocity"), error / level.t**2, rtol=1e-9)


def test_weightings_are_their_formulas(x64):
    level = SCHEDULES["edm"][0](SCHEDULES["edm"][1])
    sigma = level.sigma
    snr, lam = sigma**-2, -2 * np.log(sigma)
    for ours, theirs in [
        (weightings.snr(), snr),
        (weightings.snr_plus_one(), 1 + snr),
        (weightings.truncated_snr(), np.maximum(snr, 1)),
        (weightings.min_snr(5.0), np.minimum(snr, 5)),
        (weightings.p2(0.5, 2.0), snr / np.sqrt(2 + snr)),
        (weightings.edm(0.5), (sigma**2 + 0.25) / (sigma * 0.5) ** 2),
        (weightings.sigmoid(-1.0), snr / (1 + np.exp(lam + 1))),
    ]:
        np.testing.assert_allclose(ours(level), theirs, rtol=1e-12)


def test_edm_loss_is_the_plain_loss_of_its_network(x64):
    """lambda c_out^2 = 1: EDM's weighted loss of D is the plain loss of F (Karras et al. 2022, eq. 8)."""
    level, _, x0, eps = _case("edm")
    f = lambda x, t, cond: jnp.sin(3 * x) + t[:, None, None]
    scales = prediction.edm_preconditioning(0.5)
    network = lambda x, t, cond: prediction.preconditioned(f, scales)(x, level, cond).x0
    loss, _ = objectives.denoising(network, x0, eps, level, kind="x0", weighting=weightings.edm(0.5))
    c, y = scales(level), x0 + level.sigma[:, None, None] * eps
    c_in, c_skip, c_out = (np.reshape(a, (-1, 1, 1)) for a in (c.c_in, c.c_skip, c.c_out))
    np.testing.assert_allclose(
        loss, _square(f(c_in * y, c.c_noise, None) - (x0 - c_skip * y) / c_out), rtol=1e-9
    )


def test_learned_variance_is_left_alone():
    level, _, x0, eps = _case("chain")
    two = lambda x, t, cond: jnp.concatenate([x, 100 + 0 * x], -1)
    one = lambda x, t, cond: x
    a, b = (objectives.denoising(n, x0, eps, level)[0] for n in (two, one))
    np.testing.assert_array_equal(a, b)


def test_drawn_times_and_noise():
    n = 20000
    x0 = jnp.zeros((n, 2))
    chain, flow, edm = schedules.linear_beta(10), schedules.rectified_flow(), schedules.edm()
    eps, level = objectives.draw(jax.random.key(0), x0, chain, objectives.uniform(chain))
    counts = np.bincount(np.asarray(level.t).astype(int), minlength=11)
    assert counts[0] == 0 and len(counts) == 11
    assert (np.abs(counts[1:] - n / 10) < 4.5 * np.sqrt(n * 0.09)).all()
    np.testing.assert_allclose(level.alpha, chain(np.asarray(level.t)).alpha, rtol=1e-6)
    assert np.abs(eps.mean(0)).max() < 4 / np.sqrt(n) and np.abs(eps.var(0) - 1).max() < 4 * np.sqrt(2 / n)
    assert abs(np.corrcoef(level.t, eps[:, 0])[0, 1]) < 4 / np.sqrt(n)
    _, level = objectives.draw(jax.random.key(1), x0, flow, objectives.uniform(flow))
    assert abs(level.t.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n) and abs(level.t.var() - 1 / 12) < 0.003
    _, level = objectives.draw(jax.random.key(2), x0, edm, objectives.log_normal(-1.2, 1.2))
    assert abs(np.log(level.sigma).mean() + 1.2) < 4 * 1.2 / np.sqrt(n)
    assert abs(np.log(level.sigma).std() - 1.2) < 4 * 1.2 / np.sqrt(2 * n)
    _, level = objectives.draw(jax.random.key(3), x0, flow, objectives.logit_normal(0.5, 0.8))
    logit = np.log(level.t / (1 - level.t))
    assert abs(logit.mean() - 0.5) < 4 * 0.8 / np.sqrt(n) and abs(logit.std() - 0.8) < 4 * 0.8 / np.sqrt(
        2 * n
    )
