"""Continuous-time consistency where the function is known: of a Gaussian, in closed form."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import exact, flow_maps, objectives
from diffjax.process import prediction, schedules
from diffjax.process.level import expand

MEAN, VARIANCE = 0.3, 0.5
DATA, RIGHT = exact.gaussian_mixture([1.0], [[MEAN]], [VARIANCE]), flow_maps.exact_gaussian(MEAN, VARIANCE)
SCHEDULES = {
    "edm": schedules.edm(),
    "cosine": schedules.vp_cosine(),
    "flow": schedules.rectified_flow(),
    "vp": schedules.vp_linear(),
}
RATIO = np.array([0.05, 0.7, 3.0, 20.0])
NODES, WEIGHTS = mixtures.hermite(24)


def student(schedule, theta=0.0):
    """Return the exact consistency function as a denoiser, made wrong by theta."""
    data = schedule(0.0)

    def denoise(x, level, cond=None):
        whole = jnp.hypot(expand(level.alpha, x), expand(level.sigma, x))
        wrong = theta * expand(level.sigma, x) / whole * jnp.sin(2 * x / whole + expand(level.alpha, x))
        return prediction.from_x0(RIGHT(x, level, data) + wrong, x, level)

    return denoise


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_tangent_is_the_slope_along_the_trajectory(x64, name):
    """Against central differences of f along the exact flow; of the right function it vanishes."""
    schedule, (x0, eps) = SCHEDULES[name], np.random.default_rng(0).normal(size=(2, 4, 1))

    @jax.jit
    def all_three():
        def tangent(theta):
            return objectives.continuous_consistency(
                student(schedule, theta), x0, eps, RATIO, schedule, sigma_data=0.5,
                teacher=DATA.denoiser(), offset=None,
            )[1]  # fmt: skip

        def f(shift):  # at t + shift, on the trajectory through x_t
            level = schedule.at_ratio(0.5 * jnp.tan(jnp.arctan(RATIO / 0.5) + shift))
            x = RIGHT(tangent(0.0)["x_t"], schedule.at_ratio(RATIO), level)
            return student(schedule, 0.4)(x, level).x0

        slope = (f(1e-5) - f(-1e-5)) / 2e-5
        cos = jnp.cos(jnp.arctan(RATIO / 0.5))
        return tangent(0.0)["tangent"], tangent(0.4)["tangent"], cos[:, None] * slope

    right, wrong, differences = all_three()
    np.testing.assert_allclose(right, 0, atol=1e-12)
    np.testing.assert_allclose(wrong, differences, rtol=1e-6, atol=1e-8)
    assert np.abs(wrong).min() > 1e-3


def test_training_has_distillation_s_gradient(x64):
    """The tangent is linear in dx/dt, so that the data's own is right on average: by quadrature."""
    schedule = SCHEDULES["cosine"]
    x0, eps = (a.reshape(-1, 1) for a in np.meshgrid(MEAN + np.sqrt(VARIANCE) * NODES, NODES))
    weight, ratio = np.outer(WEIGHTS, WEIGHTS).ravel(), jnp.full(len(x0), 0.8)

    def loss(theta, **how):
        rows, _ = objectives.continuous_consistency(
            student(schedule, theta), x0, eps, ratio, schedule, sigma_data=1.0, offset=None, **how
        )
        return (weight * rows).sum()

    of = lambda **how: (jax.grad(loss)(0.3, **how), jax.grad(loss)(0.0, **how))
    taught, alone = jax.jit(lambda: (of(teacher=DATA.denoiser()), of()))()
    np.testing.assert_allclose(alone, taught, rtol=1e-6, atol=1e-9)
    assert abs(taught[0]) > 1e-3 and abs(taught[1]) < 1e-12


def test_norm_warm_up_and_weight_are_the_papers():
    """At r = 0 the tangent is the velocity's error alone; its length is below 1; e^w weighs the square."""
    schedule, (x0, eps) = SCHEDULES["edm"], np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    exactly = exact.gaussian_mixture([1.0], [[MEAN] * 3], [VARIANCE]).denoiser()
    rows = lambda **how: objectives.continuous_consistency(
        student(schedule, 0.4), x0, eps, RATIO, schedule, teacher=exactly, **how
    )
    (_, cold), (plain, aux), (scaled, _) = jax.jit(
        lambda: (rows(warmup=0.0), rows(offset=0.1), rows(log_weight=jnp.arange(4.0)))
    )()
    t = np.arctan(RATIO / 0.5)[:, None]
    level = schedule.at_ratio(RATIO)
    own, right = student(schedule, 0.4)(aux["x_t"], level), exactly(aux["x_t"], level)
    v = lambda said: 0.5 * np.cos(t) * said.eps - np.sin(t) * said.x0
    np.testing.assert_allclose(cold["tangent"], np.cos(t) ** 2 * (v(right) - v(own)), rtol=1e-3, atol=1e-5)
    norm = np.linalg.norm(aux["tangent"], axis=1)
    np.testing.assert_allclose(plain, (norm / (norm + 0.1)) ** 2 / 3, rtol=1e-4)
    np.testing.assert_allclose(scaled, np.exp(np.arange(4)) * plain - np.arange(4), rtol=1e-5)


def test_the_preconditioning_is_the_coordinates():
    """D = cos(t) x - sin(t) d F(x / d, t), x = cos(t) y: Lu & Song 2024, eq. 5."""
    level, y = schedules.edm()(np.float64(1.5)), np.random.default_rng(2).normal(size=(4, 3))
    told = []

    def network(x, t, cond=None):
        told.append((x, t))
        return jnp.sin(x)

    denoise = prediction.preconditioned(network, prediction.trigflow_preconditioning(0.5))
    t = np.arctan(1.5 / 0.5)
    found = denoise(jnp.asarray(y), level).x0
    np.testing.assert_allclose(told[0][0], np.cos(t) * y / 0.5, rtol=1e-5)
    np.testing.assert_allclose(told[0][1], t, rtol=1e-6)
    by_hand = np.cos(t) ** 2 * y - np.sin(t) * 0.5 * np.sin(np.cos(t) * y / 0.5)
    np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        (schedules.cosine_beta(10), {}, "schedule must be continuous"),
        (schedules.edm(), {"sigma_data": 0.0}, "sigma_data must be positive"),
        (schedules.edm(), {"offset": 0.0}, "offset must be positive"),
    ],
)
def test_what_has_no_tangent_is_refused(schedule, options, message):
    with pytest.raises(ValueError, match=message):
        objectives.continuous_consistency(DATA.denoiser(), *jnp.ones((2, 4, 1)), RATIO, schedule, **options)


EDM, TRIGFLOW, slow = prediction.edm_preconditioning, prediction.trigflow_preconditioning, pytest.mark.slow


@pytest.mark.parametrize(("name", "scales"), [
    *(("edm", EDM), ("cosine", TRIGFLOW), ("flow", TRIGFLOW), ("vp", EDM)),
    *(pytest.param(name, EDM, marks=slow) for name in ("cosine", "flow")),
    *(pytest.param(name, TRIGFLOW, marks=slow) for name in ("edm", "vp")),
])  # fmt: skip
def test_the_tangent_in_float32(name, scales):
    """Of a network inside a preconditioning, from sigma / alpha = 0.002 to 80: it is that in float64."""
    ratio, draw = np.array([0.002, 0.01, 0.1, 0.5, 2.0, 10.0, 80.0]), np.random.default_rng(0)
    x0, eps = draw.normal(size=(2, 7, 1))
    network = lambda x, t, cond=None: 0.7 * jnp.tanh(1.3 * x + 0.2 * t[:, None])

    def tangent(dtype):
        own = prediction.preconditioned(network, scales(sigma_data=0.5))
        losses = lambda *args: objectives.continuous_consistency(
            own, *args, SCHEDULES[name], sigma_data=0.5, teacher=DATA.denoiser(), offset=None
        )
        _, aux = jax.jit(losses)(*(jnp.asarray(a, dtype) for a in (x0, eps, ratio)))
        assert aux["tangent"].dtype == dtype
        return np.asarray(aux["tangent"], np.float64)

    single = tangent(jnp.float32)
    with jax.enable_x64(True):
        double = tangent(jnp.float64)
    np.testing.assert_allclose(single[:-1], double[:-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(single[-1], double[-1], rtol=5e-3)  # where x_t is 160 times the data
