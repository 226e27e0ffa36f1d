"""Score matching: closed forms on Gaussians and mixtures, and that all forms have one minimum."""

import functools
import itertools

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import exact, objectives
from diffjax.objectives import score_matching, weightings
from diffjax.process import energy, schedules

EDM = schedules.edm()
TILTED = mixtures.tilted()


def _network(x, t, cond):
    """A smooth score that is no gradient, and depends on the time."""
    bend = jnp.array([[0.4, -0.9], [0.7, 0.2]], x.dtype)
    return jnp.tanh(x @ bend) * (1 + t[:, None]) - 0.5 * x


def _points(n=5):
    return jnp.asarray(np.random.default_rng(0).normal(size=(n, 2)))


def _plane(mixture, half=6.0, n=400):
    """Midpoints of a grid and the mixture's mass there."""
    ticks = (np.arange(n) + 0.5) / n * 2 * half - half
    x = jnp.asarray(np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2))
    return x, jnp.exp(jax.jit(mixture.log_prob)(x)) * (2 * half / n) ** 2


def test_the_sign_of_implicit_score_matching(x64):
    """E = x^2 / 2 s^2 on data of variance v: J = v / 2 s^4 - 1 / s^2, least at s^2 = v."""
    nodes, weights = mixtures.hermite(20)
    v = 1.7
    x = jnp.asarray(np.sqrt(v) * nodes)[:, None]

    @jax.jit
    def loss(s2):
        network = energy.score(lambda x, t, cond: (x**2).sum(1) / (2 * s2))
        return weights @ score_matching.implicit(network, x)[0]

    for s2 in (0.4, 1.7, 3.0):
        np.testing.assert_allclose(loss(s2), v / (2 * s2**2) - 1 / s2, rtol=1e-12)
    slope, bend = jax.jit(jax.value_and_grad(jax.grad(loss)))(v)
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    assert bend > 0


def test_implicit_is_half_the_square_less_the_laplacian_of_an_energy(x64):
    def e(x, t, cond):
        return jnp.cos(x[:, 0] * x[:, 1]) + (x**4).sum(1) * t

    x = _points()
    loss, aux = jax.jit(lambda x: score_matching.implicit(energy.score(e), x, t=0.3))(x)
    single = lambda x: e(x[None], jnp.full(1, 0.3), None)[0]
    gradient, hessian = (jax.jit(jax.vmap(of(single)))(x) for of in (jax.grad, jax.hessian))
    laplacian = jnp.trace(hessian, axis1=1, axis2=2)
    np.testing.assert_allclose(loss, (0.5 * (gradient**2).sum(1) - laplacian) / 2, rtol=1e-12)
    np.testing.assert_allclose(aux["score"], -gradient, rtol=1e-12)
    np.testing.assert_allclose(aux["divergence"], -laplacian, rtol=1e-12)


def test_implicit_is_explicit_less_a_constant_of_the_data(x64):
    """E_p of (1) - (2) = E_p ||grad log p||^2 / 2 for any network, by quadrature over the plane."""
    x, mass = _plane(TILTED)
    truth = jax.jit(TILTED.score)(x)
    constant = 0.5 * mass @ (truth**2).sum(1) / 2
    for network in (_network, lambda x, t, cond: TILTED.score(x), lambda x, t, cond: -(x**3)):
        a = mass @ jax.jit(functools.partial(score_matching.explicit, network))(x, truth)[0]
        b = mass @ jax.jit(functools.partial(score_matching.implicit, network))(x)[0]
        np.testing.assert_allclose(a - b, constant, rtol=1e-6)
    exactly = functools.partial(score_matching.explicit, lambda x, t, cond: TILTED.score(x))
    best = jax.jit(exactly)(x, truth)[0]
    np.testing.assert_array_equal(best, 0)


@pytest.mark.parametrize("loss", [score_matching.sliced, score_matching.sliced_vr])
def test_slices_along_all_signs_are_the_exact_loss(x64, loss):
    """Rademacher directions: the mean over all 2^D sign vectors is exact, for images too."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 2, 1)))
    mix = jnp.asarray(np.random.default_rng(2).normal(size=(4, 4)))
    network = lambda x, t, cond: (jnp.sin(x.reshape(-1, 4) @ mix) + cond[:, None]).reshape(x.shape)
    cond = jnp.array([0.1, -2.0, 0.7])
    full, _ = score_matching.implicit(network, x, 0.0, cond)
    signs = [jnp.asarray(s).reshape(2, 2, 1) for s in itertools.product([-1.0, 1.0], repeat=4)]
    sliced = jax.jit(lambda v: loss(network, x, v, 0.0, cond)[0])
    slices = [sliced(jnp.broadcast_to(s, x.shape)) for s in signs]
    np.testing.assert_allclose(np.mean(slices, axis=0), full, rtol=1e-12)
    assert np.std(slices, axis=0).min() > 0.01


def test_slices_along_normal_directions_are_the_exact_loss(x64):
    """The mean over v ~ N(0, I) by Gauss-Hermite quadrature: the integrand is a polynomial of degree 2."""
    nodes, weights = mixtures.hermite(4)
    x = _points()
    full, _ = score_matching.implicit(_network, x, 0.2)
    for loss in (score_matching.sliced, score_matching.sliced_vr):
        total, sliced = 0.0, jax.jit(lambda v, loss=loss: loss(_network, x, v, 0.2)[0])
        for (a, wa), (b, wb) in itertools.product(zip(nodes, weights), repeat=2):
            total += wa * wb * np.asarray(sliced(np.broadcast_to([a, b], x.shape)))
        np.testing.assert_allclose(total, full, rtol=1e-12)


def test_reduced_variance(x64):
    """Where grad s is a multiple of I, Rademacher slices of (4) have no variance; those of (3) have
    Var[(v.s)^2] / 4 = s_1^2 s_2^2 in the plane."""
    x = _points(1)
    network = lambda x, t, cond: -3 * x
    signs = [jnp.array([s]) for s in itertools.product([-1.0, 1.0], repeat=2)]
    spread = {
        loss.__name__: np.var([loss(network, x, v)[0][0] * 2 for v in signs])
        for loss in (score_matching.sliced, score_matching.sliced_vr)
    }
    np.testing.assert_allclose(spread["sliced"], (9 * x[0, 0] * x[0, 1]) ** 2, rtol=1e-12)
    assert spread["sliced_vr"] < 1e-24


def _expected_denoising(network, mixture, level, weighting=None):
    """E over (x_0, eps) on the line, by quadrature."""
    nodes, weights = mixtures.hermite(60)
    total = 0.0
    for w, m, v in zip(mixture.weights, mixture.means[:, 0], mixture.spectra[:, 0]):
        x0, eps = (jnp.asarray(a.reshape(-1, 1)) for a in np.meshgrid(m + np.sqrt(v) * nodes, nodes))
        loss, _ = score_matching.denoising(network, x0, eps, level, weighting=weighting)
        total += w * float(loss @ np.outer(weights, weights).ravel())
    return total


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_denoising_at_its_optimum_and_its_constant(x64, sigma):
    """Vincent 2011: min = (1 / sigma^2 - 1 / (v + sigma^2)) / 2 on N(0, v); less (1) it is one
    constant for every s."""
    v, level = 1.3, EDM(sigma)
    gaussian = exact.gaussian_mixture([1.0], [[0.0]], [v])
    best = _expected_denoising(lambda x, t, cond: -x / (v + sigma**2), gaussian, level)
    np.testing.assert_allclose(best, 0.5 * (1 / sigma**2 - 1 / (v + sigma**2)), rtol=1e-10)
    nodes, weights = mixtures.hermite(60)
    x = jnp.asarray(np.sqrt(v + sigma**2) * nodes)[:, None]
    gaps = []
    for network in (lambda x, t, cond: -0.3 * x, lambda x, t, cond: jnp.sin(x) - 1 / (1 + t[:, None])):
        fisher = weights @ score_matching.explicit(network, x, gaussian.score(x, level), level.t)[0]
        gaps.append(_expected_denoising(network, gaussian, level) - fisher)
    np.testing.assert_allclose(gaps, best, rtol=1e-9)


def test_denoising_over_many_levels_is_ncsn(x64):
    """lambda = sigma^2: 1/2 mean ||sigma s(x + sigma eps, t) + eps||^2 (Song & Ermon 2019, eq. 5 and 6)."""
    x0, eps = jnp.asarray(np.random.default_rng(3).normal(size=(2, 4, 2)))
    level = EDM(np.array([0.01, 0.3, 5.0, 40.0]))
    loss, aux = score_matching.denoising(_network, x0, eps, level, weighting=weightings.snr())
    sigma = level.sigma[:, None]
    score = _network(x0 + sigma * eps, jnp.asarray(level.t), None)
    np.testing.assert_allclose(loss, 0.5 * ((sigma * score + eps) ** 2).mean(1), rtol=1e-10)
    np.testing.assert_allclose(aux["prediction"].eps, -sigma * score, rtol=1e-12)
    halves, _ = objectives.denoising(_network, x0, eps, level, kind="score")
    np.testing.assert_allclose(score_matching.denoising(_network, x0, eps, level)[0], halves / 2, rtol=1e-12)


def test_losses_can_be_differentiated_inside_jit():
    """Gradients of a model's parameters reach through the derivative, and are those of its own formula."""
    x, v = _points().astype("f"), jnp.ones((5, 2))

    def loss(scale, x):
        network = energy.score(lambda x, t, cond: scale * (x**2).sum(1) / 2)
        return score_matching.sliced_vr(network, x, v)[0].mean()

    slope = jax.jit(jax.grad(loss))(2.0, x)  # d/da of a^2 x^2 / 2 - a
    np.testing.assert_allclose(slope, 2 * (x**2).mean() - 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda net, x: score_matching.explicit(net, x, x), "the network's score"),
        (lambda net, x: score_matching.implicit(net, x), "the network's score"),
        (lambda net, x: score_matching.sliced(net, x, x), "the network's score"),
        (lambda net, x: score_matching.sliced_vr(net, x, x), "the network's score"),
    ],
)
def test_another_shape_is_refused(loss, message):
    with pytest.raises(ValueError, match=rf"^{message} must be shaped like x, \[5, 2\]; got \[5, 1\]"):
        loss(lambda x, t, cond: x[:, :1], _points())


@pytest.mark.parametrize(("loss", "name"), [(score_matching.explicit, "score"), (score_matching.sliced, "v")])
def test_an_array_of_another_shape_is_refused(loss, name):
    x = _points()
    with pytest.raises(ValueError, match=rf"{name} must be a float array .*, got .*\[5, 1\]; x has"):
        loss(_network, x, x[:, :1])
