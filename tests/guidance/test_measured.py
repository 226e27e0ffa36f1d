"""Guidance by what was measured of x_0: exact where the data are Gaussian and the method says so."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, guidance, samplers
from diffjax.process import forward, schedules
from diffjax.process.prediction import Prediction

KEY, RNG = jax.random.key(0), np.random.default_rng(0)
KNOWN = RNG.random((4, 4, 1)) < 0.5
SPREAD = [[0.1, 0.2, 0.0], [0.0, 0.4, 0.1], [0.2, 0.0, 0.0]]
OPERATORS = {
    "mask": guidance.operators.mask(KNOWN),
    "average": guidance.operators.average(2),
    "blur": guidance.operators.blur(SPREAD),
}
FLOW = schedules.rectified_flow()
LEVELS = {"edm": schedules.edm()(0.7), "flow": FLOW(np.array([1e-3, 0.4, 0.999]))}


def _dense(operator):
    """Return A, column by column."""
    return np.asarray(operator.apply(jnp.eye(16).reshape(16, 4, 4, 1))).reshape(16, -1).T


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_has_its_adjoint_and_its_inverse(x64, name):
    operator, a = OPERATORS[name], _dense(OPERATORS[name])
    y = jnp.asarray(RNG.normal(size=(3, *operator.apply(jnp.zeros((3, 4, 4, 1))).shape[1:])))
    flat = np.asarray(y).reshape(3, -1)
    np.testing.assert_allclose(np.reshape(operator.adjoint(y), (3, -1)), flat @ a, atol=1e-12)
    share, noise = np.array([0.5, 1.0, 2.0]), 0.3
    if name == "mask":
        flat = flat * KNOWN.ravel()  # nothing is measured elsewhere
    for mine, p, v in zip(np.reshape(operator.solve(y, share, noise), (3, -1)), share, flat):
        np.testing.assert_allclose(mine, np.linalg.solve(p * a @ a.T + noise * np.eye(len(v)), v), atol=1e-12)
    assert not np.asarray(operator.solve(y, 0.0, 0.0)).any()  # nothing to invert: the least solution


def test_blur_is_a_convolution_around_the_edges():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 0, 1, 0].set(1.0)
    found = np.asarray(OPERATORS["blur"].apply(x))[0, :, :, 0]
    for i, j in np.ndindex(3, 3):
        np.testing.assert_allclose(found[i - 1, j], SPREAD[i][j], atol=1e-6)


def _isotropic(m, s):
    """The denoiser of N(m, s^2 I)."""

    def denoise(x, level, cond=None):
        alpha, sigma = (jnp.reshape(jnp.asarray(each), (-1, *[1] * (x.ndim - 1))) for each in level[1:3])
        variance = alpha**2 * s**2 + sigma**2
        return Prediction(m + alpha * s**2 * (x - alpha * m) / variance, sigma * (x - alpha * m) / variance)

    return denoise


def _given(m, covariance, level, i, x_t, a, y, noise):
    """E[x_0 | x_t, y] of x_0 ~ N(m, covariance), by conditioning the joint Gaussian."""
    alpha, sigma = (np.broadcast_to(each, 3)[i] for each in (level.alpha, level.sigma))
    seen = np.concatenate([alpha * np.eye(len(m)), a])
    spread = np.diag([sigma**2] * len(m) + [noise**2] * len(a))
    gain = covariance @ seen.T @ np.linalg.pinv(seen @ covariance @ seen.T + spread)
    return m + gain @ (np.concatenate([x_t, y]) - seen @ m)


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", OPERATORS)
def test_pigdm_is_the_posterior_mean_of_isotropic_gaussian_data(x64, name, level, noise):
    operator, level, s = OPERATORS[name], LEVELS[level], 0.6
    m, x_t = RNG.normal(size=(1, 4, 4, 1)), RNG.normal(size=(3, 4, 4, 1))
    y = operator.apply(jnp.asarray(RNG.normal(size=x_t.shape)))
    guide = guidance.linear_inverse(operator, y, noise, data_std=s)
    guided = jax.jit(guide(_isotropic(m, s)))(jnp.asarray(x_t), level)
    for i in range(3):
        args = (
            m.ravel(),
            s**2 * np.eye(16),
            level,
            i,
            x_t[i].ravel(),
            _dense(operator),
            np.ravel(y[i]),
            noise,
        )
        np.testing.assert_allclose(np.ravel(guided.x0[i]), _given(*args), rtol=1e-8, atol=1e-9)
    if not noise:
        np.testing.assert_allclose(operator.apply(guided.x0), y, atol=1e-9)


def test_the_documents_example_leaves_no_more_than_the_noise():
    """On N(0, 1/4), where PiGDM is exact: blocks of four pixels have the variance 1/16, and y also noise."""
    text = (pathlib.Path(__file__).parents[2] / "docs/guidance.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    small = (1 / 16 + 0.05**2) ** 0.5 * jax.random.normal(KEY, (64, 4, 4, 1))
    told = {"denoise": _isotropic(0.0, 0.5), "schedule": schedules.cosine_beta(1000), "small": small}
    exec(code, told := {**told, "guidance": guidance, "samplers": samplers, "key": KEY})
    assert told["x"].shape == (64, 8, 8, 1)
    # a walk ends at a mean, which leaves less than the noise; without guidance it would be 0.36
    assert 0.02 < np.std(told["residual"]) < 0.05


def test_dps_shifts_too_far_by_the_share_that_is_not_known_yet(x64):
    """With A = I by 1 + r^2 / noise^2."""
    level, s, noise, x = LEVELS["edm"], 0.6, 0.5, jnp.asarray(RNG.normal(size=(3, 2)))
    y, denoise = jnp.ones((3, 2)), _isotropic(0.2, s)
    shift = lambda method: (
        guidance.linear_inverse(guidance.operators.matrix(np.eye(2)), y, noise, method=method, data_std=s)(
            denoise
        )(x, level).x0
        - denoise(x, level).x0
    )
    r2 = s**2 * level.sigma**2 / (s**2 + level.sigma**2)
    np.testing.assert_allclose(shift("dps") / shift("pigdm"), 1 + r2 / noise**2, rtol=1e-10)


def test_a_linear_gradient_of_x0_tilts_gaussian_data(x64):
    """N(m, S) times exp(b . x) is N(m + S b, S), and the pulled-back gradient says so at every level."""
    covariance, b = np.array([[0.5, 0.3], [0.3, 0.4]]), np.array([1.5, -0.7])
    plain = exact.gaussian_mixture([1.0], [[0.2, -0.1]], [covariance])
    tilted = exact.gaussian_mixture([1.0], [np.array([0.2, -0.1]) + covariance @ b], [covariance])
    guide = guidance.classifier(lambda x0, level, cond: jnp.broadcast_to(b, x0.shape), of_x0=True)
    x = jnp.asarray(RNG.normal(size=(3, 2)))
    for level in LEVELS.values():
        guided = jax.jit(guide(plain.denoiser()))(x, level)
        wanted = jax.jit(tilted.denoiser())(x, level)
        np.testing.assert_allclose(guided.x0, wanted.x0, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(guided.eps, wanted.eps, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_shifting_the_mean_and_shifting_eps_agree_to_the_order_of_beta(x64, variance):
    """Alg. 1 is Alg. 2 times alpha_ts = sqrt(1 - beta), and sigma_s^2 / sigma_t^2 with the small variance."""
    chain, slope = schedules.linear_beta(1000), lambda x, level, cond: 1.3 - x
    x, denoise, times = jnp.asarray(RNG.normal(size=(3, 2))), _isotropic(0.0, 0.7), [500, 499]
    step = lambda shift, denoise: samplers.sample(
        KEY,
        denoise,
        chain,
        samplers.ancestral(variance, shift),
        times,
        x_init=x,
        noise=np.zeros((1, 1, 3, 2)),
    )
    mean, eps = step(slope, denoise), step(None, guidance.classifier(slope)(denoise))
    pair, plain = forward.pair(chain(499), chain(500)), step(None, denoise)
    share = (chain(499).sigma / chain(500).sigma) ** 2 if variance == "fixed_small" else 1.0
    np.testing.assert_allclose((mean - plain) / (eps - plain), pair.alpha_ts * share, rtol=1e-9)


# --- inpainting ------------------------------------------------------------------------------------

HALF, Y, RHO = jnp.array([1, 0]), 1.5, 0.8
PAIR = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, RHO], [RHO, 1.0]]])


def test_what_is_known_arrives_whatever_solver_and_noise():
    times = samplers.grids.karras(5, 0.02, 80.0)
    for key, solver in ((None, samplers.ancestral()), (KEY, samplers.edm_heun())):
        denoise = guidance.inpaint(jnp.full((4, 2), Y), HALF, key=key)(PAIR.denoiser())
        x = samplers.sample(KEY, denoise, schedules.edm(), solver, times, shape=(4, 2))
        np.testing.assert_allclose(x[:, 0], Y, rtol=1e-6)


def test_fresh_noise_is_of_the_level_and_of_the_sample_alone():
    seen = []

    def denoise(x, level, cond=None):
        seen.append((x[:, 0] - Y * level.alpha) / level.sigma)
        return Prediction(x, x)

    filled = guidance.inpaint(jnp.full((4, 2), Y), HALF, key=KEY)(denoise)
    for t in (0.5, 0.5, 0.4):
        filled(jnp.zeros((4, 2)), FLOW(t))
    guidance.inpaint(jnp.full((2, 2), Y), HALF, key=KEY)(denoise)(jnp.ones((2, 2)), FLOW(0.5))
    first, again, other, fewer = seen
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(fewer, first[:2], rtol=1e-5)
    assert len(np.unique(np.concatenate([first, other]))) == 8 and np.abs(first).max() < 5


def _filled_in(resamplings, steps=40):
    """The mean of what is filled in: the walk is affine in its noise, so one without noise gives it."""
    chain = schedules.linear_beta(steps, 0.1 / steps, 20 / steps)
    solver = samplers.repaint(samplers.ancestral(), 1, resamplings)
    rows = samplers.plan(chain, solver, np.arange(steps, -1, -1))
    noise = np.zeros((len(rows.steps.scale), 2, 1, 2))
    denoise = guidance.inpaint(jnp.full((1, 2), Y), HALF)(PAIR.denoiser())
    return float(samplers.walk(KEY, denoise, solver, rows, jnp.zeros((1, 2)), noise=noise)[0, 1])


def test_resampling_mends_the_bias_of_replacement():
    """E[x_2 | x_1 = y] = rho y: replacement finds 60 % of it, and twice the moves halve what is missing."""
    missing = [1 - _filled_in(resamplings) / (RHO * Y) for resamplings in (1, 2, 4, 8, 16)]
    assert 0.38 < missing[0] < 0.42 and 0 < missing[-1] < 0.05, missing
    assert all(0.5 < more / fewer < 0.65 for fewer, more in zip(missing, missing[1:])), missing


def test_jumps_keep_the_law_of_a_point_and_follow_the_papers_order(x64):
    """x_0 = 0 is known, and jumps are the forward process: the variance is the level's."""
    chain, solver = schedules.linear_beta(12, 0.01, 0.3), samplers.repaint(samplers.ancestral(), 4, 3)
    rows = samplers.plan(chain, solver, np.arange(12, -1, -1))
    # n of x_n after every move, for 12 steps, jump_length 4 and n_sample 3; a jump up is a move
    moves = [11, 10, 9, 8, 7, 6, 5, 9, 8, 7, 6, 5, 9, 8, 7, 6, 5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 0]
    ends = [here for here, after in zip(moves, [*moves[1:], -1]) if after < here]
    noise = np.concatenate([np.eye(2 * len(ends)), np.zeros((2 * len(ends), 1))], 1)
    x = jnp.zeros((noise.shape[1], 1)).at[-1].set(chain(12).sigma)
    point = lambda x, level, cond=None: Prediction(jnp.zeros_like(x), x / level.sigma)
    noise = noise.reshape(len(ends), 2, -1, 1)
    _, path = samplers.walk(KEY, point, solver, rows, x, noise=noise, trajectory=True)
    np.testing.assert_allclose((path**2).sum((1, 2)), chain(np.array(ends)).sigma ** 2, rtol=1e-9)


def test_an_edit_walks_the_last_steps():
    times = np.linspace(1, 0, 11)
    np.testing.assert_allclose(samplers.times_from(times, 0.3), [0.3, 0.2, 0.1, 0.0], atol=1e-12)
    np.testing.assert_array_equal(samplers.times_from(times, 1.0), times)
    np.testing.assert_allclose(samplers.times_from(times, 1e-3), [0.1, 0.0], atol=1e-12)


MASKED, ONES = OPERATORS["mask"], jnp.ones((4, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guidance.inpaint(ONES, jnp.array([0, 0])), "mask must have a known pixel"),
        (lambda: guidance.inpaint(jnp.ones((2, 2)), jnp.array([[0, 0], [1, 0]])), "mask must have a known"),
        (lambda: guidance.inpaint(ONES, jnp.array([0.5, 1])), "mask must hold 0 and 1 alone, got 0.5"),
        (lambda: guidance.inpaint(ONES, jnp.ones((3, 2))), r"mask must be shaped like known \[4, 2\]"),
        (lambda: guidance.inpaint(ONES, jnp.ones(3)), r"mask must be shaped like .*, got \[3\]"),
        (lambda: _inpainted(jnp.ones((4, 3)), jnp.ones(3)), "known must be shaped like x_t"),
        (lambda: guidance.operators.mask(jnp.zeros((4, 4, 1))), "known must have a known pixel"),
        (lambda: OPERATORS["mask"].apply(jnp.ones((2, 5, 4, 1))), "known must be shaped like"),
        (lambda: OPERATORS["average"].apply(jnp.ones((2, 5, 4, 1))), "factor must divide"),
        (lambda: guidance.operators.average(0), "factor must be a positive integer"),
        (lambda: guidance.operators.blur(np.ones(3)), r"kernel must be \[h, w\]"),
        (lambda: guidance.operators.blur([[np.nan]]), "kernel must be an array"),
        (lambda: OPERATORS["blur"].apply(jnp.ones((2, 2, 4, 1))), "must fit into"),
        (lambda: guidance.linear_inverse(MASKED, ONES, -1.0), "noise_std must be"),
        (lambda: guidance.linear_inverse(MASKED, ONES, method="dps"), "noise_std must be"),
        (lambda: guidance.linear_inverse(MASKED, ONES, data_std=0.0), "data_std must be"),
        (lambda: guidance.linear_inverse(MASKED, ONES, method="ddrm"), "method must be one"),
        (lambda: _measured(jnp.ones((4, 1))), r"measurement must be shaped like operator.apply\(x\)"),
        (lambda: samplers.repaint(samplers.dpm_solver_pp(2)), "solver must have no memory"),
        (lambda: samplers.repaint(samplers.ddim(), 0), "jump_length must be"),
        (lambda: samplers.repaint(samplers.ddim(), resamplings=0), "resamplings must be"),
        (lambda: samplers.times_from([1.0, 0.0], 0.0), r"strength must be in \(0, 1\], got 0"),
        (lambda: samplers.times_from([1.0, 0.0], 1.01), r"strength must be in \(0, 1\], got 1.01"),
        (lambda: samplers.network_calls(samplers.ddim(), ROWS, guidance.clip()), "x must be given with"),
    ],
)  # fmt: skip
def test_wrong_calls_are_named(make, message):
    with pytest.raises(ValueError, match=message) as told:
        make()
    assert "\n" not in str(told.value)


ROWS = samplers.plan(schedules.edm(), samplers.ddim(), [1.0, 0.0])


def _inpainted(known, mask):
    return guidance.inpaint(known, mask)(PAIR.denoiser())(ONES, LEVELS["edm"])


def _measured(y):
    guide = guidance.linear_inverse(guidance.operators.mask(HALF), y, 0.1)
    return guide(PAIR.denoiser())(ONES, LEVELS["edm"])
