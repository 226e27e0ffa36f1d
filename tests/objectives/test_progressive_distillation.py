"""Progressive distillation: the target against its definition, the published formulas, and exact students."""

import functools

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
import reference

from diffjax import objectives, samplers
from diffjax.objectives import weightings
from diffjax.process import forward, prediction, schedules
from diffjax.process.level import NoiseLevel

TILTED = mixtures.tilted()
X = np.random.default_rng(0).normal(size=(4, 2))
GRIDS = {  # three decreasing times, to data and not, from no signal at all and not
    "cosine": (schedules.vp_cosine(), [1.0, 0.75, 0.5]),
    "cosine to data": (schedules.vp_cosine(), [1.0, 0.5, 0.0]),
    "flow": (schedules.rectified_flow(), [0.6, 0.4, 0.2]),
    "edm": (schedules.edm(), [5.0, 2.0, 0.0]),
    "chain": (schedules.cosine_beta(1000), [1000, 750, 500]),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_one_step_lands_where_two_of_the_teacher_s_do(x64, grid):
    schedule, times = GRIDS[grid]
    levels = [schedule(np.float64(t)) for t in times]
    x = X * levels[0].sigma

    @jax.jit
    def both(x):
        target = objectives.two_ddim_steps(TILTED.denoiser(), x, *levels)
        told = lambda x_t, level, cond=None: prediction.from_x0(target, x_t, level)
        walk = lambda denoise, grid: samplers.walk(
            jax.random.key(0), denoise, samplers.ddim(), samplers.plan(schedule, samplers.ddim(), grid), x
        )
        return walk(told, times[::2]), walk(TILTED.denoiser(), times)

    np.testing.assert_allclose(*both(x), rtol=1e-11, atol=1e-12)


def test_a_perfect_student_of_k_rounds_takes_the_teacher_s_steps_in_one(x64):
    """Eight steps, three rounds, and one step: to the digit, for any denoiser."""
    schedule, times = schedules.vp_cosine(), np.linspace(1, 0, 9)
    level = lambda i: schedule(times[i])

    def student(rounds, i):
        """Return what the student of so many rounds says of x at time i, a Denoiser."""
        if rounds == 0:
            return TILTED.denoiser()
        half, own = 2 ** (rounds - 1), 2**rounds

        def teacher(x_t, at, cond=None):  # where it is asked decides which student this is
            return student(rounds - 1, i if at is level_t else i + half)(x_t, at)

        level_t, mid, end = level(i), level(i + half), level(i + own)
        return lambda x, at, cond=None: prediction.from_x0(
            objectives.two_ddim_steps(teacher, x, level_t, mid, end), x, at
        )

    one = jax.jit(lambda x: student(3, 0)(x, level(0)).x0)(X)
    every = samplers.sample(jax.random.key(0), TILTED.denoiser(), schedule, samplers.ddim(), times, x_init=X)
    np.testing.assert_allclose(one, every, atol=1e-12)


@pytest.mark.parametrize("kind", ["eps", "x", "v"])
def test_target_and_losses_are_the_published_ones(x64, kind):
    golden, hyper = reference.load("progressive_distillation")

    def level(name):
        log_snr = golden[f"{kind}__logsnr_{name}"]
        alpha, sigma = (np.sqrt(1 / (1 + np.exp(sign * log_snr))) for sign in (-1, 1))
        sigma = np.where(log_snr >= hyper["logsnr_max"], 0, sigma) if name == "s" else sigma
        return NoiseLevel(log_snr, alpha, sigma, np.where(sigma == 0, np.inf, log_snr))

    def denoiser(which):
        a, b, c = hyper[which]
        network = lambda z, t, cond: jnp.tanh(a * z) + b * jnp.cos(t / c).reshape(-1, 1, 1, 1)
        reading = prediction.reading({"x": "x0"}.get(kind, kind), ask=lambda level: level.log_snr)
        return reading.denoiser(network)

    levels = [level(name) for name in ("t", "mid", "s")]
    z_t = forward.perturb(golden["x"], golden["eps"], levels[0])
    loss = functools.partial(
        objectives.progressive_distillation, denoiser("student"), denoiser("teacher"), z_t, *levels
    )
    plain, aux = loss()
    np.testing.assert_allclose(aux["target"], golden[f"{kind}__x_target"], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(plain, golden[f"{kind}__loss_constant"], rtol=1e-7)
    for name, weighting in (("truncated_snr", "truncated_snr"), ("snr_plus_1", "snr_plus_one")):
        weighted, _ = loss(weighting=getattr(weightings, weighting)())
        np.testing.assert_allclose(weighted, golden[f"{kind}__loss_{name}"], rtol=1e-7)


def test_the_teacher_gets_no_gradient_and_the_shares_survive_float32():
    schedule, x = schedules.vp_cosine(), jnp.asarray(X, jnp.float32)
    levels = [schedule(t) for t in (0.5, 0.4995, 0.499)]  # a thousand steps
    scaled = lambda a: lambda x_t, level, cond=None: prediction.from_x0(a * jnp.tanh(x_t), x_t, level)

    def loss(a, b):
        return objectives.progressive_distillation(scaled(a), scaled(b), x, *levels)[0].sum()

    student, teacher = jax.jit(jax.grad(loss, (0, 1)))(0.5, 0.7)
    assert student != 0 and teacher == 0
    found = objectives.two_ddim_steps(scaled(0.7), x, *levels)
    with jax.enable_x64(True):
        exact = objectives.two_ddim_steps(scaled(0.7), jnp.asarray(X), *levels)
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_levels_in_another_order_are_refused():
    flow = schedules.rectified_flow()
    with pytest.raises(ValueError, match="level_t must be noisier than level_mid, and that noisier than"):
        objectives.two_ddim_steps(TILTED.denoiser(), X, flow(0.5), flow(0.7), flow(0.2))
