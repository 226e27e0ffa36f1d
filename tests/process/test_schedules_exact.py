"""Schedules against their definitions, their own inverses and automatic differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.process import learned, schedules, sde

CHAINS = {
    "linear": schedules.linear_beta(1000),
    "cosine": schedules.cosine_beta(1000),
    "scaled_linear": schedules.scaled_linear(1000),
    "sigmoid": schedules.sigmoid_beta(200),
    "zero_snr": schedules.zero_terminal_snr(schedules.linear_beta(1000)),
}
CUT = schedules.vp_cosine(log_snr_min=-15, log_snr_max=15)
_INSIDE = [1e-5, 0.01, 0.3, 0.5, 0.9, 1.0]
REAL = {
    "vp_linear": (schedules.vp_linear(), _INSIDE),
    "vp_offset": (schedules.vp_linear(0.0, 20.0, offset=1e-4), _INSIDE[1:]),
    "vp_constant": (schedules.vp_linear(3.0, 3.0), _INSIDE),
    "sub_vp": (schedules.sub_vp(), _INSIDE),
    "vp_cosine": (schedules.vp_cosine(), _INSIDE[:-1]),
    "vp_cosine_s": (schedules.vp_cosine(s=0.008), [0.0, *_INSIDE[:-1]]),
    "vp_cosine_cut": (CUT, [0.0, *_INSIDE]),
    "log_snr_linear": (schedules.log_snr_linear(), [0.0, *_INSIDE]),
    "learned": (
        schedules.learned(functools.partial(learned.monotone, learned.init(jax.random.key(0), width=7))),
        _INSIDE[1:],
    ),
    "ve": (schedules.ve(), _INSIDE),
    "shifted_vp": (schedules.shifted(schedules.vp_linear(), 3.0), _INSIDE),
    "shifted_flow": (schedules.shifted(schedules.rectified_flow(), 3.0), _INSIDE[:-1]),
    "shifted_edm": (schedules.shifted(schedules.edm(), 0.5), [0.002, 0.5, 80.0]),
    "edm": (schedules.edm(), [0.002, 0.5, 3.0, 80.0]),
    "rectified_flow": (schedules.rectified_flow(), [0.01, 0.3, 0.5, 0.9]),
    "linear": (CHAINS["linear"].continuous(), [0.3, 1.0, 17.4, 500.5, 999.9]),
    "cosine": (CHAINS["cosine"].continuous(), [0.3, 17.4, 500.5, 999.9]),
}
# log SNR at t = 0 of the schedules that start at a noise level of their own
STARTS_NOISY = {
    "vp_offset": -np.log(np.expm1(1e-4)),
    "vp_cosine_s": -2 * np.log(np.tan(0.004 * np.pi / 1.008)),
    "vp_cosine_cut": 15.0,
    "log_snr_linear": 13.3,
    "learned": 13.3,
}


@pytest.mark.parametrize("name", CHAINS)
def test_chain_is_the_product_of_its_steps(name):
    chain = CHAINS[name]
    level = chain(np.arange(chain.num_steps + 1))
    alpha2 = np.concatenate([[1.0], np.cumprod(1 - chain.betas)])
    np.testing.assert_allclose(level.alpha**2, alpha2, rtol=1e-11)
    np.testing.assert_allclose(level.alpha**2 + level.sigma**2, 1, rtol=1e-14)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            level.log_snr, np.log(level.alpha**2 / level.sigma**2), rtol=1e-9, atol=1e-12
        )
    assert (np.diff(level.log_snr) < 0).all() and level.log_snr[0] == np.inf and level.d_alpha is None
    assert chain.t_min == 0 and chain.t_max == chain.num_steps and chain.prior_std == 1


def test_published_ends():
    first = lambda name: CHAINS[name].alpha[1] ** 2
    last = lambda name: CHAINS[name].alpha[-1] ** 2
    np.testing.assert_allclose([first("linear"), first("cosine")], [0.9999, 0.999958716], rtol=1e-9)
    latent = schedules.scaled_linear(1000, 0.0015, 0.0195)
    np.testing.assert_allclose(latent.alpha[-1] ** 2, 1.423e-4, rtol=1e-3)
    np.testing.assert_allclose([last("linear"), last("cosine")], [4.036e-5, 2.43e-9], rtol=1e-3)
    betas = CHAINS["sigmoid"].betas
    logits = np.log((betas - 1e-4) / (0.02 - betas))
    np.testing.assert_allclose(logits, np.linspace(-6, 6, 200), atol=1e-9)


def test_chain_approaches_its_stochastic_differential_equation():
    """beta(t) / N with beta(t) from 0.1 to 20: the error in alpha is O(1 / N), Song et al. 2021, app. B."""
    errors = []
    for count in (100, 1000, 10000):
        chain = schedules.linear_beta(count, 0.1 / count, 20 / count)
        t = np.arange(count + 1) / count
        alpha = np.exp(-0.5 * (0.1 * t + 0.5 * 19.9 * t**2))
        errors.append(np.abs(chain.alpha - alpha).max())
    np.testing.assert_allclose(errors, [1.0e-2, 9.9e-4, 9.9e-5], rtol=0.03)


def test_zero_terminal_snr_is_affine_in_alpha():
    before, after = CHAINS["linear"].alpha[1:], CHAINS["zero_snr"].alpha[1:]
    assert after[-1] == 0 and CHAINS["zero_snr"].log_snr[-1] == -np.inf
    np.testing.assert_allclose(after[0], before[0], rtol=1e-12)
    expected = before[0] * (before - before[-1]) / (before[0] - before[-1])
    np.testing.assert_allclose(after, expected, rtol=1e-9, atol=1e-15)
    with pytest.raises(ValueError, match="no continuous form"):
        CHAINS["zero_snr"].continuous()


@pytest.mark.parametrize("name", REAL)
def test_rates_are_the_derivatives(x64, name):
    schedule, times = REAL[name]
    for t in times:
        level = schedule(t)
        for rate, field in [(level.d_alpha, "alpha"), (level.d_sigma, "sigma")]:
            if float(t).is_integer() and name in CHAINS:
                continue  # a knot: the slopes of its two sides differ
            slope = jax.grad(lambda t, f=field: getattr(schedule(t), f))(jnp.float64(t))
            np.testing.assert_allclose(rate, slope, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", REAL)
def test_levels_and_inverses_agree_on_host_and_device(x64, name):
    schedule, times = REAL[name]
    host, device = schedule(np.array(times)), schedule(jnp.asarray(times))
    for ours, theirs in zip(host, device):
        assert isinstance(ours, np.ndarray) and ours.dtype == np.float64 and isinstance(theirs, jax.Array)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
    for level in (host, device):
        np.testing.assert_allclose(
            level.log_snr, np.log(level.alpha**2 / level.sigma**2), rtol=1e-9, atol=1e-9
        )
        np.testing.assert_allclose(
            schedule.inv_sigma(level.sigma / level.alpha), times, rtol=1e-9, atol=1e-15
        )
        np.testing.assert_allclose(schedule.inv_log_snr(level.log_snr), times, rtol=1e-9, atol=1e-15)
    assert isinstance(schedule.inv_sigma(host.sigma / host.alpha), np.ndarray)
    clean = schedule(0.0)
    if name in STARTS_NOISY:
        np.testing.assert_allclose(clean.log_snr, STARTS_NOISY[name], rtol=1e-3)
        return
    assert clean.alpha == 1 and clean.sigma == 0 and clean.log_snr == np.inf


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_continuous_form_passes_through_the_chain(name):
    chain, n = CHAINS[name], np.arange(1001)
    for ours, theirs in zip(chain.continuous()(n)[:4], chain(n)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    np.testing.assert_allclose(chain.inv_log_snr(chain.log_snr[1:]), n[1:], rtol=1e-9)
    np.testing.assert_allclose(chain.inv_sigma(chain.sigma / chain.alpha), n, rtol=1e-9)


def test_straight_path_inverse_at_its_ends():
    inverse = schedules.rectified_flow().inv_sigma
    np.testing.assert_array_equal(inverse(np.array([0.0, 1.0, np.inf])), [0, 0.5, 1])


def test_host_and_device_dtypes():
    for schedule, t in [(CHAINS["linear"], 3), (schedules.edm(), 3), (schedules.rectified_flow(), 0)]:
        for time in (t, float(t), np.float32(t), np.array([t, t])):
            level = schedule(time)
            assert all(np.asarray(f).dtype == np.float64 for f in level if f is not None)
            assert not any(isinstance(f, jax.Array) for f in level)
        for time in (jnp.int32(t), jnp.float32(t)):
            for level in (schedule(time), jax.jit(schedule)(time)):
                assert all(
                    f.dtype == jnp.float32 and isinstance(f, jax.Array) for f in level if f is not None
                )


def test_chain_rounds_times_to_its_steps():
    chain = CHAINS["linear"]
    assert chain(299.6) == chain(300) and chain(np.array([299.6])).t == [300.0]
    assert (jax.jit(chain)(jnp.float32(299.6)).t) == 300


def test_drift_and_diffusion():
    """The discrete chain's SDE has f = -beta(t) / 2, g^2 = beta(t): variance preserving means g^2 = -2 f."""
    x = jnp.array([[2.0, -1.0]])
    for name in ("linear", "cosine"):
        schedule, t = REAL[name][0], 300.5
        f = sde.drift(schedule, x, t) / x
        np.testing.assert_allclose(sde.diffusion(schedule, t) ** 2, -2 * f[0, 0], rtol=1e-6)
    np.testing.assert_allclose(
        sde.drift(REAL["linear"][0], x, 300.5) / x, -CHAINS["linear"].betas[300] / 2, rtol=0.01
    )
    edm, flow = schedules.edm(), schedules.rectified_flow()
    assert (sde.drift(edm, x, 3.0) == 0).all()
    np.testing.assert_allclose(sde.diffusion(edm, 3.0), np.sqrt(6), rtol=1e-12)
    # alpha = 1 - t: f = -1 / (1 - t), g^2 = 2 t / (1 - t)
    np.testing.assert_allclose(sde.drift(flow, x, 0.2), -x / 0.8, rtol=1e-6)
    np.testing.assert_allclose(sde.diffusion(flow, np.array([0.2, 0.5])) ** 2, [0.5, 2.0], rtol=1e-12)
    with pytest.raises(ValueError, match="the drift needs"):
        sde.drift(CHAINS["linear"], x, 3)
    with pytest.raises(ValueError, match="the diffusion needs"):
        sde.diffusion(CHAINS["linear"], 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CHAINS["linear"](1001), r"t must be in \[0, 1000\], got 1001"),
        (lambda: CHAINS["linear"](np.nan), r"t must be in"),
        (lambda: CHAINS["linear"](jnp.array([5, -1])), r"got -1"),
        (lambda: schedules.rectified_flow()(1.01), r"t must be in \[0, 1\]"),
        (lambda: schedules.edm()(-0.1), r"got -0.1"),
        (lambda: schedules.edm(2.0, 1.0), "0 < sigma_min < sigma_max"),
        (lambda: schedules.from_betas([0.1, 0.0]), r"betas\[1\] = 0"),
        (lambda: schedules.from_betas(np.array([[0.1]])), "1-D"),
        (lambda: schedules.linear_beta(0), "num_steps must be a positive integer"),
        (lambda: schedules.cosine_beta(10.5), "num_steps must be an integer, got 10.5"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
