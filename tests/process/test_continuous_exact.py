"""Continuous schedules against their stochastic differential equations and the forms that papers publish."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffjax import exact
from diffjax.process import learned, preconditioning, prediction, schedules, sde

_PARAMETERS = learned.init(jax.random.key(0), width=5) | {"w2": jnp.arange(5.0), "w3": 9 * jnp.ones(5)}
LEARNED = schedules.learned(functools.partial(learned.monotone, _PARAMETERS))
# Karras et al. 2022, table 1: sigma / alpha is 0.002 at t = 0.001 and 80 at t = 1
_SLOPE = 2 * (np.log1p(0.002**2) / 1e-3 - np.log1p(80.0**2)) / (1e-3 - 1)
VP_OF_EDM = schedules.vp_linear(np.log1p(80.0**2) - 0.5 * _SLOPE, np.log1p(80.0**2) + 0.5 * _SLOPE)
# schedule, and the interval its equation is solved over
SCHEDULES = {
    "vp_linear": (schedules.vp_linear(), 1e-5, 1.0),
    "vp_of_edm": (VP_OF_EDM, VP_OF_EDM.t_min, 1.0),
    "vp_offset": (schedules.vp_linear(0.0, 20.0, offset=1e-4), 0.0, 1.0),
    "sub_vp": (schedules.sub_vp(), 1e-5, 1.0),
    "vp_cosine": (schedules.vp_cosine(), 1e-5, 0.999),
    "vp_cosine_cut": (schedules.vp_cosine(log_snr_min=-15, log_snr_max=15), 0.0, 1.0),
    "ve": (schedules.ve(), 1e-5, 1.0),
    "log_snr_linear": (schedules.log_snr_linear(), 0.0, 1.0),
    "learned": (LEARNED, 0.0, 1.0),
    "edm": (schedules.edm(), 0.002, 80.0),
    "rectified_flow": (schedules.rectified_flow(), 1e-5, 0.999),
    "shifted_vp": (schedules.shifted(schedules.vp_linear(), 3.0), 1e-5, 1.0),
    "shifted_flow": (schedules.shifted(schedules.rectified_flow(), 3.0), 1e-5, 0.999),
    "chain": (schedules.linear_beta(20).continuous(), 1.0, 20.0),
    "geometric": (schedules.geometric(50.0, 0.01, 20).continuous(), 1.0, 20.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_moments_follow_the_equation(name):
    """m' = f m, v' = 2 f v + g^2 carry the first moments of q(x_t | x_0) to the last."""
    schedule, start, end = SCHEDULES[name]
    first, last = schedule(start), schedule(end)

    @jax.jit
    def coefficients(t):
        return sde.drift(schedule, jnp.ones(1), t)[0], sde.diffusion(schedule, t) ** 2

    def rate(t, moments):
        f, g2 = (float(a) for a in coefficients(jnp.float64(t)))
        return [f * moments[0], 2 * f * moments[1] + g2]

    with jax.enable_x64(True):
        solution = integrate.solve_ivp(
            rate, (start, end), [first.alpha, first.sigma**2], method="DOP853", rtol=1e-9, atol=1e-14,
            max_step=0.5 if name in ("chain", "geometric") else np.inf,
        )  # fmt: skip
    np.testing.assert_allclose(solution.y[:, -1], [last.alpha, last.sigma**2], rtol=1e-6)


def test_sub_vp_has_its_published_moments():
    """alpha = e^{-B/2}, variance (1 - e^{-B})^2, which its own equation confirms above."""
    t = np.array([0.01, 0.3, 1.0])
    total = 0.1 * t + 19.9 * t**2 / 2
    level = schedules.sub_vp()(t)
    np.testing.assert_allclose(level.alpha, np.exp(-total / 2), rtol=1e-14)
    np.testing.assert_allclose(level.sigma**2, (1 - np.exp(-total)) ** 2, rtol=1e-11)
    np.testing.assert_allclose(
        sde.diffusion(schedules.sub_vp(), t) ** 2, (0.1 + 19.9 * t) * (1 - np.exp(-2 * total)), rtol=1e-12
    )


@pytest.mark.parametrize("name", [n for n, (s, _, _) in SCHEDULES.items() if s.sde is not None])
def test_closed_coefficients_are_those_of_the_rates(name):
    schedule, start, end = SCHEDULES[name]
    t = np.linspace(start, end, 30)[1:-1]
    from_rates = dataclasses.replace(schedule, sde=None)
    one = np.ones((28, 1))
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            sde.drift(schedule, one, t), sde.drift(from_rates, one, t), rtol=1e-10, atol=1e-13
        )
    np.testing.assert_allclose(sde.diffusion(schedule, t), sde.diffusion(from_rates, t), rtol=1e-10)


def test_rates_that_begin_below_zero():
    """B < 0 just above t = 0: t_min lies past it, and every ratio from 0 up has its time there."""
    beta_min = float(VP_OF_EDM.sde(np.float64(0))[1])
    assert -0.0049 < beta_min < -0.0047 and 5.4e-4 < VP_OF_EDM.t_min < 5.7e-4
    level = VP_OF_EDM(np.array([1e-3, 1.0]))
    np.testing.assert_allclose(level.sigma / level.alpha, [0.002, 80], rtol=1e-9)
    np.testing.assert_allclose(VP_OF_EDM.inv_sigma(np.array([0.0, 0.002, 80.0])), [0, 1e-3, 1], rtol=1e-10)
    np.testing.assert_allclose(VP_OF_EDM.inv_sigma(jnp.array([0.002, 80.0])), [1e-3, 1], rtol=2e-4)
    assert np.isfinite(VP_OF_EDM(VP_OF_EDM.t_min)).all() and VP_OF_EDM(0.0).sigma == 0


def test_coefficients_on_clean_data_are_finite():
    """At t = 0 sigma' is infinite and sigma zero, but g^2 = beta_min."""
    one = np.ones((1, 1))
    for schedule in (schedules.vp_linear(), schedules.sub_vp()):
        np.testing.assert_allclose(sde.drift(schedule, one, 0.0), -0.05)
    np.testing.assert_allclose(sde.diffusion(schedules.vp_linear(), 0.0) ** 2, 0.1)
    assert sde.diffusion(schedules.sub_vp(), 0.0) == 0 and sde.diffusion(schedules.vp_cosine(), 0.0) == 0
    np.testing.assert_allclose(sde.diffusion(schedules.ve(), 0.0), 0.01 * np.sqrt(2 * np.log(5000)))


NO_SIGNAL = {"vp_cosine", "rectified_flow", "shifted_flow"}  # at t_max, where alpha = 0


@pytest.mark.parametrize("end", ["t_min", "t_max"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_ends_themselves(name, end):
    """Everything is finite in both precisions, except what the docstrings say of alpha = 0."""
    schedule = SCHEDULES[name][0]
    t = getattr(schedule, end)

    def everything(t):
        level = schedule(t)
        return (*level, sde.drift(schedule, jnp.ones(1), t)[0], sde.diffusion(schedule, t))

    # two functions: JAX would keep the tables of a chain in the first one's precision
    single = jax.jit(lambda t: everything(t))(jnp.float32(t))
    with jax.enable_x64(True), np.errstate(divide="ignore"):
        double = jax.jit(lambda t: everything(t))(jnp.float64(t))
        host = (*schedule(t), sde.drift(schedule, np.ones(1), np.float64(t))[0], sde.diffusion(schedule, t))
    ours = dict(zip((*schedule(t)._fields, "f", "g"), host))
    if name in NO_SIGNAL and end == "t_max":
        wanted = {"alpha": 0.0, "log_snr": -np.inf, "f": -np.inf, "g": np.inf}
        assert {key: ours.pop(key) for key in wanted} == wanted
    assert np.isfinite(list(ours.values())).all(), ours
    np.testing.assert_allclose(double, host, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(single, host, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_float32_is_finite_and_near_float64(name):
    schedule, start, end = SCHEDULES[name]
    t = np.float32(np.geomspace(max(start, 1e-5), end, 50))[1:-1]
    host, device = schedule(np.float64(t)), jax.jit(schedule)(jnp.asarray(t))
    for field, ours, theirs in zip(host._fields, device, host):
        assert ours.dtype == jnp.float32 and np.isfinite(ours).all()
        # 1 - t and sums in an exponent near the noisy end, where alpha is small
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6, err_msg=field)
    back = jax.jit(lambda r: schedule(schedule.inv_sigma(r)).log_snr)(device.sigma / device.alpha)
    # log SNR near t = 0 changes by 2 / t; t itself keeps 1e-7 of its own (VE: of 1)
    np.testing.assert_allclose(back, host.log_snr, atol=2e-3)


def test_shift_has_both_published_forms():
    t = np.linspace(0, 1, 11)
    flow = schedules.shifted(schedules.rectified_flow(), 3.0)(t)
    np.testing.assert_allclose(flow.sigma, 3 * t / (1 + 2 * t), rtol=1e-12)
    np.testing.assert_allclose(flow.alpha, 1 - 3 * t / (1 + 2 * t), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(flow.d_sigma, 3 / (1 + 2 * t) ** 2, rtol=1e-12)
    for base in (schedules.vp_cosine(), schedules.vp_linear()):
        inner, shift = t[1:-1], 2 * np.log(64 / 256)
        level = schedules.shifted(base, 256 / 64)(inner)
        np.testing.assert_allclose(level.log_snr, base(inner).log_snr + shift, rtol=1e-12)
        np.testing.assert_allclose(level.alpha**2, 1 / (1 + np.exp(-level.log_snr)), rtol=1e-11)
        np.testing.assert_allclose(level.alpha**2 + level.sigma**2, 1, rtol=1e-12)
    for base, factor, std in [(schedules.edm(), 2.0, 160.0), (schedules.vp_linear(), 2.0, 1.0)]:
        np.testing.assert_allclose(schedules.shifted(base, factor).prior_std, std, rtol=1e-14)


def test_cosine_cuts():
    """Simple diffusion's bounds are met at the ends, with log SNR = -2 log tan of a straight line between."""
    cut = schedules.vp_cosine(log_snr_min=-15, log_snr_max=15)
    np.testing.assert_allclose(cut(np.array([0.0, 1.0])).log_snr, [15, -15], rtol=1e-12)
    low, high = np.arctan(np.exp(-7.5)), np.arctan(np.exp(7.5))
    t = np.array([0.1, 0.77])
    np.testing.assert_allclose(cut(t).log_snr, -2 * np.log(np.tan(low + t * (high - low))), rtol=1e-10)
    plain = schedules.vp_cosine()
    assert (
        plain(1.0).alpha == 0 and plain(1.0).log_snr == -np.inf and jax.jit(plain)(jnp.float32(1)).alpha == 0
    )
    np.testing.assert_allclose(plain(0.25).alpha, np.cos(np.pi / 8), rtol=1e-15)
    assert (plain.t_min, cut.t_min) == (1e-5, 0.0)


def test_variance_exploding_ends():
    """sigma(0) = 0 by the paper's convention, sigma_min just above; ratios below sigma_min are t = 0."""
    schedule = schedules.ve(0.01, 50.0)
    level = schedule(np.array([0.0, 1e-12, 0.5, 1.0]))
    np.testing.assert_allclose(level.sigma, [0, 0.01, np.sqrt(0.5), 50], rtol=1e-9)
    assert schedule.prior_std == 50 and schedule(0.0).log_snr == np.inf
    np.testing.assert_array_equal(schedule.inv_sigma(np.array([0.0, 0.003])), [0, 0])
    assert jax.grad(lambda t: schedule(t).sigma)(0.5) > 0


def test_learned_schedule_follows_its_parameters():
    """gamma' by automatic differentiation, the gradient in the parameters, and levels inside jit."""
    t = jnp.linspace(0.0, 1.0, 9)
    gamma = lambda params, t: learned.monotone(params, t)
    hidden = lambda t: 2 / (1 + np.exp(-np.arange(5.0) * (2 * t[:, None] - 1))) - 1
    np.testing.assert_allclose(
        gamma(_PARAMETERS, t), -13.3 + 18.3 * t + 9 / 5 * hidden(np.asarray(t)).sum(1), rtol=1e-5
    )
    assert (np.diff(LEARNED(np.linspace(0, 1, 200)).log_snr) < 0).all()
    line = learned.init(jax.random.key(0), width=0)
    straight = schedules.learned(functools.partial(learned.monotone, line))
    for ours, theirs in zip(straight(t), schedules.log_snr_linear()(t)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    # d sigma^2 / d b = sigma^2 alpha^2
    of = lambda b: schedules.learned(functools.partial(learned.monotone, line | {"b": b}))
    sigma2 = lambda b: of(b)(jnp.full(1, 0.3)).sigma ** 2
    level = straight(0.3)
    np.testing.assert_allclose(
        jax.jit(jax.jacobian(sigma2))(line["b"])[0], level.sigma**2 * level.alpha**2, rtol=1e-4
    )


def test_learned_schedule_on_the_host_inside_jit():
    """Concrete parameters give float64 levels also while something else is traced."""
    inside = jax.jit(lambda x: x * float(LEARNED(0.3).sigma))
    np.testing.assert_allclose(inside(jnp.float32(1)), LEARNED(0.3).sigma, rtol=1e-6)
    assert LEARNED(0.3).sigma.dtype == np.float64


def test_geometric_levels_are_a_chain():
    chain = schedules.geometric(1.0, 0.01, 10)
    np.testing.assert_allclose(chain.sigma[:0:-1], np.geomspace(1.0, 0.01, 10), rtol=1e-12)
    np.testing.assert_allclose(np.cumsum(chain.betas), chain.sigma[1:] ** 2, rtol=1e-12)
    assert chain.num_steps == 10 and chain(0).sigma == 0 and chain(0).log_snr == np.inf
    assert (chain.alpha == 1).all() and chain.prior_std == 1.0
    real = chain.continuous()
    np.testing.assert_allclose(real(np.arange(1, 11)).sigma, chain.sigma[1:], rtol=1e-12)
    assert (real(2.5).alpha, real(2.5).d_alpha) == (1, 0)
    np.testing.assert_allclose(chain.inv_sigma(chain.sigma), np.arange(11), rtol=1e-12)


@pytest.mark.parametrize("where", [np.asarray, jnp.asarray])
def test_rounding_a_level_to_a_step(where):
    chain = schedules.linear_beta(1000)
    ratios = chain.sigma / chain.alpha
    wanted = np.array([0.0, 0.004, 0.05, 1.0, 12.0, 1e4])
    linear = np.abs(wanted[:, None] - ratios).argmin(1)
    with np.errstate(divide="ignore"):
        logs = 1 + np.abs(np.log(wanted[1:, None]) - np.log(ratios[1:])).argmin(1)
    np.testing.assert_array_equal(chain.round_sigma(where(wanted)), linear)
    np.testing.assert_array_equal(chain.round_log_sigma(where(wanted[1:])), logs)
    assert chain.round_log_sigma(where(0.0)) == 1 and linear[0] == 0


@pytest.mark.parametrize("name", ["vp_linear", "sub_vp", "ve", "edm", "rectified_flow", "learned"])
def test_ways_back_keep_the_marginals(x64, name):
    """Fokker-Planck of N(m, v) data: both carry the mean and the variance of p_t."""
    schedule, start, end = SCHEDULES[name]
    mixture, t = exact.gaussian_mixture([1.0], [[0.7]], [[0.4]]), 0.5 * (start + end)
    level = schedule(t)
    x = jnp.array([[-1.0], [0.3], [2.0]])
    predicted = mixture.predict(x, level)
    score = prediction.score(predicted, level)
    flow = sde.probability_flow(schedule, score, x, t)
    np.testing.assert_allclose(flow, prediction.velocity(predicted, level), rtol=1e-9)
    # x = mean + sqrt(v) z moves with mean' + (v' / 2 v) (x - mean)
    mean, v = 0.7 * level.alpha, level.alpha**2 * 0.4 + level.sigma**2
    d_v = 2 * level.alpha * level.d_alpha * 0.4 + 2 * level.sigma * level.d_sigma
    np.testing.assert_allclose(flow, 0.7 * level.d_alpha + 0.5 * d_v / v * (x - mean), rtol=1e-9)
    # the reverse SDE subtracts the other half of g^2 score
    both = 0.5 * (sde.reverse_drift(schedule, score, x, t) + sde.drift(schedule, x, t))
    np.testing.assert_allclose(both, flow, rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.vp_linear()(500), r"t must be in \[0, 1\], got 500"),
        (lambda: schedules.vp_linear(2.0, 1.0), "vp_linear needs -0.1 <= beta_min <= beta_max"),
        (lambda: schedules.vp_linear(-0.2, 20.0), "got -0.2, 20 and 0"),
        (lambda: schedules.sub_vp(-1.0, 1.0), "sub_vp needs 0 <= beta_min"),
        (lambda: schedules.ve(1.0, 1.0), "ve needs 0 < sigma_min < sigma_max"),
        (lambda: schedules.vp_cosine(s=-0.1), "vp_cosine needs 0 <= s"),
        (lambda: schedules.vp_cosine(s=np.inf), "vp_cosine: s must be a finite number, got inf"),
        (lambda: schedules.ve(1.0, np.inf), "ve: sigma_max must be a finite number, got inf"),
        (lambda: schedules.edm(1.0, np.inf), "edm: sigma_max must be a finite number, got inf"),
        (lambda: schedules.vp_linear(0.1, np.inf), "vp_linear: beta_max must be a finite number, got inf"),
        (lambda: schedules.vp_linear(offset=np.inf), "offset must be a finite number, got inf"),
        (lambda: schedules.sub_vp(0.1, np.inf), "sub_vp: beta_max must be a finite number, got inf"),
        (lambda: schedules.log_snr_linear(1.0, -np.inf), "log_snr_min must be a finite number"),
        (lambda: preconditioning.edm_preconditioning(0.0), "sigma_data must be positive and finite, got 0.0"),
        (lambda: preconditioning.edm_preconditioning(np.inf), "sigma_data must be a finite number"),
        (lambda: schedules.vp_cosine(s=1.0, log_snr_min=3), "vp_cosine starts at log SNR"),
        (lambda: schedules.log_snr_linear(1.0, 2.0), "log_snr_linear needs -inf < log_snr_min < log_snr_max"),
        (lambda: schedules.shifted(schedules.linear_beta(10), 2.0), "shifted needs a continuous schedule"),
        (lambda: schedules.shifted(schedules.edm(), 0.0), "factor must be positive"),
        (lambda: schedules.shifted(schedules.vp_linear(0, 20, 1e-4), 0.5), "asks for log SNR 10.5"),
        (lambda: schedules.geometric(0.01, 1.0, 10), "geometric needs 0 < sigma_min < sigma_max"),
        (lambda: schedules.geometric(1.0, 0.01, 1), "num_levels of at least 2"),
        (lambda: schedules.geometric(1.0, 0.01, 2.5), "geometric: num_levels must be an integer, got 2.5"),
        (lambda: schedules.linear_beta(np.nan), "linear_beta: num_steps must be an integer, got nan"),
        (lambda: schedules.zero_terminal_snr(schedules.geometric(1.0, 0.1, 4)), "alpha is constant"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_times_where_a_rate_below_zero_leaves_no_noise_are_refused():
    """B(t) = beta_min t + slope t^2 / 2 is negative up to t = -2 beta_min / slope."""
    schedule = schedules.vp_linear(-0.05, 20.0)
    first = 0.1 / 20.05
    assert schedule(0.0).sigma == 0 and np.isfinite(schedule(first * 1.001).sigma)
    np.testing.assert_allclose(schedule.t_min, first + 1e-5, rtol=1e-9)
    with pytest.raises(ValueError, match=r"t must be 0 or at least 0\.00498753.*got 0\.001"):
        schedule(np.array([0.0, 0.001, 0.5]))
    on_device = jax.jit(schedule)(jnp.array([0.0, 0.001, 0.004]))  # cannot be seen: taken as clean data
    np.testing.assert_array_equal(on_device.sigma, 0)
    np.testing.assert_array_equal(on_device.alpha, 1)


def test_a_gamma_that_falls_is_refused():
    with pytest.raises(ValueError, match=r"gamma must increase, and does not at t = 0\.5"):
        schedules.learned(lambda t: -10.0 * t)(0.5)
