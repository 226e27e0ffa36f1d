"""Consistency where the map is known: what vanishes, how fast, and which pairs are drawn."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy.special import erf

from diffjax import exact, flow_maps, objectives, samplers
from diffjax.objectives import consistency_steps, metrics
from diffjax.process import schedules

EDM = schedules.edm()
END = EDM(0.002)
NODES, WEIGHTS = mixtures.hermite(24)


@pytest.mark.parametrize(
    ("solver", "order"), [(samplers.ddim(), 2), (samplers.edm_heun(), 3)], ids=["1", "2"]
)
def test_distillation_vanishes_at_the_exact_map_at_the_teacher_s_order(x64, solver, order):
    """A step's own error: h^2 of Euler, h^3 of Heun."""
    data = exact.gaussian_mixture([1.0], [[0.3]], [0.5])
    f = flow_maps.exact_gaussian(0.3, 0.5)
    x0, eps = np.random.default_rng(0).normal(size=(2, 64, 1))

    def loss(h):
        return objectives.consistency(
            f, f, x0, eps, EDM(2.0), EDM(2.0 - h), END, teacher=data.denoiser(), solver=solver,
            metric=metrics.l1,
        )[0].mean()  # fmt: skip

    one, half = jax.jit(lambda: (loss(0.1), loss(0.05)))()
    assert abs(np.log2(one / half) - order) < 0.1


def test_the_gradient_of_training_tends_to_that_of_distillation(x64):
    """Expectations by quadrature, of a wrong map; the difference shrinks with the step (theorem 2)."""
    mean, variance = 0.3, 0.5
    data = exact.gaussian_mixture([1.0], [[mean]], [variance])
    right = flow_maps.exact_gaussian(mean, variance)
    x0, eps = (a.reshape(-1, 1) for a in np.meshgrid(mean + np.sqrt(variance) * NODES, NODES))
    weight = np.outer(WEIGHTS, WEIGHTS).ravel()

    def f(theta):
        return lambda x, t, s, cond=None: right(x, t, s) * (1 + theta * (t.sigma - s.sigma)) + theta * t.sigma

    def slope(h, teacher):
        loss = lambda theta: (
            weight
            * objectives.consistency(f(theta), f(0.2), x0, eps, EDM(1.0), EDM(1.0 - h), END, teacher=teacher)[
                0
            ]
        ).sum()
        return jax.grad(loss)(0.2)

    found = jax.jit(lambda: [(slope(h, None), slope(h, data.denoiser())) for h in (0.02, 0.01)])()
    away = [abs(training / distillation - 1) for training, distillation in found]
    assert away[1] < 0.02 and away[1] < 0.6 * away[0]


def test_a_consistency_function_is_the_identity_at_its_end_and_goes_nowhere_else():
    f = flow_maps.consistency(lambda x, t, cond: jnp.tanh(x) + 1)
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(f(x, END, END), x)
    vp = schedules.vp_linear()
    end = vp(vp.inv_sigma(np.float64(0.002)))
    np.testing.assert_allclose(f(x, end, end), x, rtol=1e-6)
    with pytest.raises(ValueError, match=r"level_s must be the last level, sigma / alpha = 0\.002"):
        f(x, EDM(2.0), EDM(1.0))


def test_pseudo_huber_is_between_its_neighbours_and_keeps_its_digits():
    a, b = jnp.array([[1e-4, 0.0], [300.0, 400.0]]), jnp.zeros((2, 2))
    found = metrics.pseudo_huber(0.03)(a, b)
    np.testing.assert_allclose(found, [1e-8 / 0.06, 500 - 0.03], rtol=1e-4)
    np.testing.assert_allclose(metrics.pseudo_huber()(a, b)[1], 500 - 0.00054 * 2**0.5, rtol=1e-6)


def test_log_normal_pairs_have_the_published_odds():
    n, traced = 11, []
    draw = jax.jit(lambda key, n: traced.append(n) or consistency_steps.log_normal_pairs(key, 20_000, n))
    index = draw(jax.random.key(0), n)
    ends = erf((np.log(objectives.discrete_consistency_grid(n)) + 1.1) / (2**0.5 * 2.0))
    odds = np.diff(ends) / (ends[-1] - ends[0])
    np.testing.assert_allclose(np.bincount(index, minlength=n - 1) / 20_000, odds, atol=0.015)
    assert draw(jax.random.key(0), 200).max() < 199 and len(traced) == 1  # N is an argument


def test_pairs_close_in():
    t = jnp.array([0.01, 1.0, 50.0])
    ratio = np.stack([consistency_steps.closing_pairs(t, k, 100) / t for k in (0, 250, 10_000)])
    np.testing.assert_allclose(ratio[0], [0, 0, 0.5], atol=1e-4)  # 1 - (1 + 8 sigmoid(-t)) / 2
    np.testing.assert_allclose(ratio[1], 1 - (1 + 8 / (1 + np.exp(t))) / 8, rtol=1e-5)
    assert (np.diff(ratio, axis=0) >= 0).all() and (ratio[2] > 0.999999).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: consistency_steps.fixed(1), "num_levels must be an integer of at least 2"),
        (lambda: consistency_steps.progressive(100, 10, 2), "s1 must be at least s0 = 10, got 2"),
        (lambda: consistency_steps.target_rate(3, mu0=1.5), r"mu0 must be in \(0, 1\]"),
        (
            lambda: objectives.discrete_consistency_grid(5, sigma_min=2.0, sigma_max=1.0),
            "needs 0 < sigma_min < sigma_max",
        ),
        (lambda: metrics.pseudo_huber(0.0), "c must be positive"),
        (
            lambda: objectives.consistency(
                *[flow_maps.exact_gaussian(0.0, 1.0)] * 2, *np.ones((2, 1, 1)), EDM(1.0), EDM(2.0), END
            ),
            "level_t must be noisier than level_s: t > s",
        ),
    ],
)
def test_what_is_none_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
