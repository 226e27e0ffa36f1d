"""Correctors and annealed Langevin dynamics against stationary laws that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)
EDM = schedules.edm()


def _gaussian(v):
    """The exact denoiser of N(0, v)."""

    def denoise(x, level, cond=None):
        shrink = x / (level.alpha**2 * v + level.sigma**2)
        return prediction.Prediction(level.alpha * v * shrink, level.sigma * shrink)

    return denoise


def _variance(denoise, solver, times, start):
    """Return the variance at the end exactly: the walk is linear in the start and every draw.

    One sample for each of them, in which it is 1 and the others 0.
    """
    steps, draws = len(times) - 1, solver.draws
    x = np.zeros((1 + steps * draws, 1))
    x[0] = np.sqrt(start)
    noise = np.concatenate([np.zeros((steps * draws, 1)), np.eye(steps * draws)], 1)
    noise = noise.reshape(steps, draws, -1, 1)
    return float(
        (samplers.sample(KEY, denoise, EDM, solver, times, x_init=jnp.asarray(x), noise=noise) ** 2).sum()
    )


@pytest.mark.parametrize("h", [0.05, 0.2, 0.5])
def test_stationary_variance_of_a_fixed_step(x64, h):
    """x <- x - h x + sqrt(2h) z on N(0, 1) has variance 1 / (1 - h/2): the sqrt(2) is there."""
    solver = samplers.ald(snr=np.sqrt(h / 2) / 0.6, steps=400)  # h = 2 (snr sigma)^2
    variance = _variance(_gaussian(1 - 0.6**2), solver, [0.6, 0.5], 3.0)
    np.testing.assert_allclose(variance, 1 / (1 - h / 2), rtol=1e-6)


@pytest.mark.parametrize("a", [0.05, 0.4, 1.0])
def test_stationary_variance_in_the_convention_of_ncsn(x64, a):
    """a/2 and sqrt(a): 1 / (1 - a/4); and the final denoising leaves s^4 / (s^2 + sigma^2) < s^2 of it."""
    s2, sigma = 0.64, 0.6
    options = {"step_size": a, "steps": 400}
    noisy = _variance(
        _gaussian(s2), samplers.annealed_langevin(**options, denoise_last=False), [sigma, 0], 3.0
    )
    np.testing.assert_allclose(noisy, (s2 + sigma**2) / (1 - a / 4), rtol=1e-6)
    clean = _variance(_gaussian(s2), samplers.annealed_langevin(**options), [sigma, 0], 3.0)
    np.testing.assert_allclose(clean, s2**2 * noisy, rtol=1e-6)


def test_step_sizes_of_ncsn(x64):
    """a_i = eps sigma_i^2 / sigma_L^2: at every level the same share of the noise's variance is replaced."""
    rows = samplers.annealed_langevin(step_size=2e-5).plan(
        schedules.geometric(1.0, 0.01, 10), np.arange(10, -1, -1)
    )
    sigma = np.geomspace(1, 0.01, 10)
    np.testing.assert_allclose(rows.noise**2, 2e-5 * sigma**2 / 0.01**2, rtol=1e-12)
    np.testing.assert_allclose(-rows.eps * rows.level.sigma, 0.5 * rows.noise**2, rtol=1e-12)


@pytest.mark.parametrize("h", [0.02, 0.2])
def test_one_corrector_step_keeps_the_marginal_to_second_order(x64, h):
    """With the exact score a step of size h changes a Gaussian's variance v by h^2 / v, no more."""
    v, sigma = 0.5, 2.0
    total = v + sigma**2
    after = _variance(_gaussian(v), samplers.ald(np.sqrt(h / 2) / sigma), [sigma, 1.0], total)
    np.testing.assert_allclose(after, total + h**2 / total, rtol=1e-12)


@pytest.mark.parametrize("norm", ["sample", "batch"])
def test_the_norms_set_the_step_that_the_exact_score_needs(x64, norm):
    """In many dimensions |z| / |g| is the marginal's standard deviation, so h = 2 (snr std)^2."""
    dim, v, sigma, snr = 4000, 0.5, 2.0, 0.16
    std = np.sqrt(v + sigma**2)
    x = std * jax.random.normal(KEY, (16, dim))
    z = jax.random.normal(jax.random.key(1), (1, 1, 16, dim))
    step = lambda solver: samplers.sample(KEY, _gaussian(v), EDM, solver, [sigma, 1.0], x_init=x, noise=z) - x
    ours, fixed = step(samplers.langevin(snr, norm)), step(samplers.ald(snr * std / sigma))
    # norms scatter by 1 / sqrt(2 dim) = 0.011 about their mean
    scale = jnp.sum(ours * fixed, 1) / jnp.sum(fixed**2, 1)
    assert (jnp.abs(scale - 1) < 5 * 0.011 * np.sqrt(2)).all(), scale
    np.testing.assert_allclose(ours, scale[:, None] * fixed, atol=0.02 * std)


@pytest.mark.parametrize("dim", [2, 64])
def test_a_step_of_its_own_length_keeps_the_marginal(dim):
    """In any number of dimensions: 1 / (1 - snr^2) of N(0, s^2), which the step's size alone is off by.

    With |z| in the step, without the drift that its dependence on x needs, 64 dimensions hold 1.09 and two
    dimensions 20 times the variance.
    """
    v, sigma, snr = 0.25, 0.5, 0.16
    x = np.sqrt(v + sigma**2) * jax.random.normal(KEY, (2048, dim))
    solver = samplers.langevin(snr, steps=100)
    after = samplers.sample(KEY, _gaussian(v), EDM, solver, [sigma, 0.4], x_init=x)
    ratio = float((after**2).mean() / (v + sigma**2))
    assert abs(ratio * (1 - snr**2) - 1) < (0.01 if dim == 64 else 0.08), ratio


@pytest.mark.parametrize("norm", ["sample", "batch"])
@pytest.mark.parametrize("scale", [0.0, 1e-12])
def test_a_score_of_zero_takes_no_step_and_a_tiny_one_a_bounded_one(norm, scale):
    x = jax.random.normal(KEY, (4, 6))
    denoise = prediction.denoiser(lambda x, t, cond: scale * x, "eps")
    after = samplers.sample(KEY, denoise, EDM, samplers.langevin(norm=norm), [1.0, 0.5], x_init=x)
    if scale == 0:
        np.testing.assert_array_equal(after, x)
    elif norm == "sample":
        assert (jnp.linalg.norm(after - x, axis=1) < 3 * jnp.linalg.norm(x, axis=1)).all()


def _two_modes():
    """Song & Ermon 2019, fig. 3: weights 1/5 and 4/5, far apart."""
    return exact.gaussian_mixture([0.2, 0.8], [[-5.0, -5.0], [5.0, 5.0]], [1.0, 1.0])


def _share_of_the_first_mode(solver, times, key):
    mixture = _two_modes()
    x = samplers.sample(
        key, mixture.denoiser(), EDM, solver, times, x_init=8 * jax.random.uniform(key, (2000, 2), minval=-1)
    )
    assert float(jnp.abs(jnp.abs(x) - 5).mean()) < 1.5  # both end on the modes
    return float((x.sum(1) < 0).mean())


@pytest.mark.slow
def test_annealing_finds_the_weights_of_the_modes_and_plain_dynamics_do_not():
    annealed = samplers.annealed_langevin(step_size=0.2 * 0.3**2, steps=100)
    share = _share_of_the_first_mode(annealed, np.append(np.geomspace(20, 0.3, 20), 0), KEY)
    assert abs(share - 0.2) < 0.03, share
    # as many network calls at the smallest level alone, from the same start
    plain = samplers.annealed_langevin(step_size=0.1, steps=2000)
    share = _share_of_the_first_mode(plain, [0.3, 0], KEY)
    assert abs(share - 0.2) > 0.2, share


def test_more_corrector_steps_are_more_draws_of_the_same_level(x64):
    """Two walks of one step at one level, one after the other, are one walk of two steps."""
    x = jax.random.normal(KEY, (4, 6))
    z = jax.random.normal(jax.random.key(3), (1, 2, 4, 6))
    once, twice = samplers.langevin(0.2), samplers.langevin(0.2, steps=2)
    run = lambda solver, x, z: samplers.sample(
        KEY, _gaussian(1.0), EDM, solver, [1.0, 0.5], x_init=x, noise=z
    )
    np.testing.assert_allclose(run(twice, x, z), run(once, run(once, x, z[:, :1]), z[:, 1:]), rtol=1e-12)


def test_the_corrector_acts_first_and_at_the_current_level(x64):
    x = jax.random.normal(KEY, (4, 6))
    z = jax.random.normal(jax.random.key(3), (3, 3, 4, 6))
    denoise, times = _gaussian(0.5), [4.0, 2.0, 1.0, 0.5]
    corrector, predictor = samplers.langevin(0.1, steps=2), samplers.ancestral()
    pair = samplers.predictor_corrector(predictor, corrector)
    assert pair.draws == 3 and pair.nfe == 3
    ours = samplers.sample(KEY, denoise, EDM, pair, times, x_init=x, noise=z)
    for i in range(3):
        grid = times[i : i + 2]
        x = samplers.sample(KEY, denoise, EDM, corrector, grid, x_init=x, noise=z[i : i + 1, :2])
        x = samplers.sample(KEY, denoise, EDM, predictor, grid, x_init=x, noise=z[i : i + 1, 2:])
    np.testing.assert_allclose(ours, x, rtol=1e-12)


def test_a_pair_carries_the_predictors_memory_and_last_step(x64):
    """A corrector of vanishing steps leaves a multistep predictor, and one with another last step, alone."""
    x, times = 5 * jax.random.normal(KEY, (4, 6)), samplers.grids.karras(6, 0.1, 5.0)
    for predictor in (samplers.dpm_solver_pp(), samplers.heun()):
        pair = samplers.predictor_corrector(predictor, samplers.ald(1e-9))
        run = lambda solver: samplers.sample(KEY, _gaussian(0.5), EDM, solver, times, x_init=x)
        np.testing.assert_allclose(run(pair), run(predictor), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.langevin(norm="both"), "norm must be one of sample, batch, got 'both'"),
        (lambda: samplers.langevin(snr=0.0), "snr must be positive and finite, got 0.0"),
        (lambda: samplers.langevin(steps=0), "steps must be a positive integer, got 0"),
        (lambda: samplers.ald(snr=-1.0), "snr must be positive and finite, got -1.0"),
        (lambda: samplers.ald(snr=np.inf), "snr must be a finite number, got inf"),
        (lambda: samplers.langevin(snr=np.nan), "snr must be a finite number, got nan"),
        (lambda: samplers.ald(steps=np.nan), "steps must be an integer, got nan"),
        (lambda: samplers.ald(steps=np.inf), "steps must be an integer, got inf"),
        (lambda: samplers.ald(steps="3"), "steps must be an integer, got '3'"),
        (lambda: samplers.ald(steps=1.5), "steps must be an integer, got 1.5"),
        (lambda: samplers.annealed_langevin(step_size=0.0), "step_size must be positive and finite, got 0.0"),
        (lambda: samplers.annealed_langevin(steps=True), "steps must be an integer, got True"),
        (lambda: samplers.plan(EDM, samplers.langevin(), [0.5, 1.0]), "cannot walk upwards"),
        (lambda: samplers.plan(EDM, samplers.annealed_langevin(), [0.5, 1.0]), "cannot walk upwards"),
        (lambda: samplers.langevin().plan(EDM, np.array([0.0, 1.0])), "infinite at sigma = 0"),
        (
            lambda: samplers.plan(schedules.vp_linear(), samplers.annealed_langevin(), [1.0, 0.5, 0.0]),
            r"needs a schedule of constant alpha \(geometric, ve, edm\), got alpha from 0.00657.* to 0.28",
        ),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
