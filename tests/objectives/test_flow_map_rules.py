"""Lagrangian and semigroup rules where the flow map is known: of a Gaussian, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from objectives.test_mean_flow_exact import DATA, FLOW, MEAN, NODES, VARIANCE, WEIGHTS, average

from diffjax import objectives
from diffjax.process import prediction, schedules

VP = schedules.vp_linear()
T, MID, S = np.array([0.9, 0.5, 0.3, 0.8]), np.array([0.6, 0.45, 0.3, 0.5]), np.array([0.1, 0.4, 0.3, 0.2])


def rows(rule, theta, schedule, x0, eps, teacher=None, t=T, mid=MID, s=S):
    levels, u = [schedule(t), schedule(mid), schedule(s)], average(theta, schedule)
    if rule == "semigroup":
        return objectives.shortcut(u, u, x0, eps, *levels, teacher=teacher)
    return objectives.lagrangian(u, x0, eps, levels[0], levels[2], teacher=teacher)


@pytest.mark.parametrize("schedule", [FLOW, VP], ids=["flow", "vp"])
@pytest.mark.parametrize("rule", ["semigroup", "lagrangian"])
def test_the_right_map_has_no_loss_under_a_teacher(x64, rule, schedule):
    """At s = t it is the teacher's velocity; without one there is a loss at s = t alone, the data's own."""
    x0, eps = np.random.default_rng(0).normal(size=(2, 4, 1))

    @jax.jit
    def both():
        right, wrong = (rows(rule, theta, schedule, x0, eps, DATA.denoiser())[0] for theta in (0.0, 0.2))
        return right, wrong, rows(rule, 0.0, schedule, x0, eps)

    right, wrong, (alone, aux) = both()
    np.testing.assert_allclose(right, 0, atol=1e-16)
    assert wrong.min() > 1e-6
    level = schedule(T)
    drawn = prediction.velocity(prediction.Prediction(jnp.asarray(x0), jnp.asarray(eps)), level)
    said = prediction.velocity(DATA.predict(aux["x_t"], level), level)
    np.testing.assert_allclose(alone, np.where(T == S, ((drawn - said) ** 2).mean(1), 0), atol=1e-14)


@pytest.mark.parametrize("rule", ["semigroup", "lagrangian"])
def test_the_gradient_vanishes_at_the_right_map_alone(x64, rule):
    """Of the data's velocity at s = t, and of the rule elsewhere: expectations by quadrature."""
    x0, eps = (a.reshape(-1, 1) for a in np.meshgrid(MEAN + np.sqrt(VARIANCE) * NODES, NODES))
    weight = np.outer(WEIGHTS, WEIGHTS).ravel()

    def loss(theta, t, mid, s):
        return (weight * rows(rule, theta, FLOW, x0, eps, None, t, mid, s)[0]).sum()

    at = lambda *times: [jax.grad(loss)(theta, *times) for theta in (0.0, 0.1)]
    for right, wrong in jax.jit(lambda: (at(0.7, 0.5, 0.2), at(0.7, 0.7, 0.7)))():
        assert abs(right) < 1e-9 and abs(wrong) > 1e-4


def test_the_hops_get_no_gradient():
    theta, one = jnp.float32(0.3), np.ones((1, 1), np.float32)
    of = lambda target: objectives.shortcut(
        average(0.1), average(target), one, one, FLOW(0.9), FLOW(0.5), FLOW(0.1)
    )[0][0]
    assert jax.grad(of)(theta) == 0


def test_times_of_a_shortcut_are_of_its_grids():
    draw = lambda key, n: jax.random.uniform(key, (n,))
    t, mid, s = objectives.shortcut_times(jax.random.key(0), 4000, draw, finest=8, share_equal=0.25)
    equal, gap = np.asarray(t == s), np.asarray(t - s)
    assert abs(equal.mean() - 0.25) < 0.03 and (np.asarray(mid)[equal] == np.asarray(t)[equal]).all()
    far = gap[~equal]
    assert set(far) == {1.0, 0.5, 0.25} and all(abs((far == each).mean() - 1 / 3) < 0.03 for each in set(far))
    np.testing.assert_allclose((t - mid)[~equal], far / 2)
    np.testing.assert_array_equal(np.asarray(s)[~equal] % far, 0)
    assert np.asarray(s).min() >= 0 and np.asarray(t).max() <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: rows("semigroup", 0.0, FLOW, x, x, mid=S - 0.05), "levels must be in order, s <= t"),
        (lambda x: rows("lagrangian", 0.0, FLOW, x, x, t=S, s=T), "levels must be in order, s <= t"),
        (
            lambda x: rows("lagrangian", 0.0, schedules.cosine_beta(10), x, x, t=[7] * 4, s=[2] * 4),
            "has none",
        ),
        (
            lambda x: objectives.shortcut_times(jax.random.key(0), 4, lambda key, n: x, finest=6),
            "a power of two",
        ),
    ],
)
def test_what_is_no_flow_map_s_rule_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((4, 1)))
