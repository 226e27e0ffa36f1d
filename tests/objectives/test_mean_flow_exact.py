"""MeanFlow where the average velocity is known: of a Gaussian, whose map is in closed form."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import exact, flow_maps, objectives, samplers
from diffjax.process import prediction, schedules
from diffjax.process.level import expand

FLOW = schedules.rectified_flow()
NODES, WEIGHTS = mixtures.hermite(24)
MEAN, VARIANCE = 0.3, 0.5
RIGHT, DATA = flow_maps.exact_gaussian(MEAN, VARIANCE), exact.gaussian_mixture([1.0], [[MEAN]], [VARIANCE])


def average(theta=0.0, schedule=FLOW):
    """Return u(x, t, s) of the exact map, made wrong by theta; the velocity where s = t, in the limit."""

    def u(x, t, s, cond=None):
        gap = expand(t - s, x)
        far = (x - RIGHT(x, schedule(t), schedule(s))) / jnp.where(gap == 0, 1, gap)
        near = prediction.velocity(DATA.predict(x, schedule(t)), schedule(t))
        return jnp.where(gap == 0, near, far) + theta * jnp.sin(x + expand(t, x) + expand(s, x))

    return u


@pytest.mark.parametrize("schedule", [FLOW, schedules.vp_linear()], ids=["flow", "vp"])
def test_the_right_average_says_the_right_velocity(x64, schedule):
    """v = u + (t - s) du/dt along the predicted velocity, which is exact here."""
    x0, eps = np.random.default_rng(0).normal(size=(2, 5, 1))
    t, s = jnp.array([0.9, 0.5, 0.3, 0.8, 0.6]), jnp.array([0.1, 0.4, 0.3, 0.2, 0.05])

    @jax.jit
    def both():
        levels = schedule(t), schedule(s)
        _, aux = objectives.mean_flow(average(schedule=schedule), x0, eps, *levels, improved=True)
        return aux["velocity"], prediction.velocity(DATA.predict(aux["x_t"], levels[0]), levels[0])

    np.testing.assert_allclose(*both(), rtol=1e-8)


@pytest.mark.parametrize("improved", [False, True])
def test_the_gradient_vanishes_at_the_right_average_alone(x64, improved):
    """Expectations over data and noise by quadrature, without the weight, which would tilt them."""
    x0, eps = (a.reshape(-1, 1) for a in np.meshgrid(MEAN + np.sqrt(VARIANCE) * NODES, NODES))
    weight = np.outer(WEIGHTS, WEIGHTS).ravel()

    def loss(theta):
        rows, _ = objectives.mean_flow(
            average(theta), x0, eps, FLOW(0.7), FLOW(0.2), improved=improved, power=0.0
        )
        return (weight * rows).sum()

    right, wrong = jax.jit(lambda: (jax.grad(loss)(0.0), jax.grad(loss)(0.1)))()
    assert abs(right) < 1e-9 and abs(wrong) > 1e-3


def test_the_weight_is_the_paper_s_and_has_no_gradient():
    one = jnp.ones((1, 2))
    u = lambda a: lambda x, t, s, cond=None: a * jnp.ones_like(x)
    loss = lambda a: objectives.mean_flow(u(a), 0 * one, one, FLOW(0.5), FLOW(0.5), power=0.75)[0][0]
    square = 2 * (0.4 - 1) ** 2
    value, slope = jax.value_and_grad(loss)(0.4)
    np.testing.assert_allclose(value, square / (square + 0.01) ** 0.75, rtol=1e-5)
    np.testing.assert_allclose(slope, 4 * (0.4 - 1) / (square + 0.01) ** 0.75, rtol=1e-5)


def test_its_map_is_the_exact_one_on_any_grid(x64):
    x = np.random.default_rng(0).normal(size=(4, 3))
    f = flow_maps.mean_flow(lambda x, t, s, c: (x - RIGHT(x, FLOW(t), FLOW(s))) / expand(t - s, x))
    for times in ([1.0, 0.0], [1.0, 0.6, 0.3, 0.0]):
        found = samplers.sample(jax.random.key(0), f, FLOW, samplers.jump(), times, x_init=x)
        np.testing.assert_allclose(found, RIGHT(x, FLOW(1.0), FLOW(0.0)), atol=1e-12)


def test_two_times_are_ordered_and_equal_in_their_share():
    draw = lambda key, n: jax.random.uniform(key, (n,))
    t, s = objectives.two_times(jax.random.key(0), 4000, draw, share_equal=0.25)
    assert (t >= s).all() and abs((t == s).mean() - 0.25) < 0.03
    assert abs(t.mean() - 2 / 3) < 0.02  # the later of two


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ((FLOW(0.2), FLOW(0.7)), {}, "levels must be in order, s <= t"),
        ((FLOW(0.7), FLOW(0.2)), {"power": -1.0}, "power must be finite and at least 0"),
        ((FLOW(0.7), FLOW(0.2)), {"offset": 0.0}, "offset must be positive"),
        ((schedules.cosine_beta(10)(7), schedules.cosine_beta(10)(2)), {}, "a discrete chain has none"),
    ],
)
def test_what_has_no_average_velocity_is_refused(levels, options, message):
    with pytest.raises(ValueError, match=message):
        objectives.mean_flow(average(), *np.ones((2, 3, 1)), *levels, **options)
