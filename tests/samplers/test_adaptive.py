"""Adaptive steps by diffrax: the exact flow in one dimension, the reverse SDE's law, what is refused."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, samplers
from diffjax.process import schedules
from diffjax.samplers import adaptive

KEY = jax.random.key(0)
WEIGHTS, MEANS, VARIANCES = (0.3, 0.7), (-1.0, 0.8), (0.1, 0.2)
MIXTURE = exact.gaussian_mixture(WEIGHTS, [[m] for m in MEANS], VARIANCES)
SCHEDULES = {
    "vp": schedules.vp_linear(),
    "sub_vp": schedules.sub_vp(),
    "ve": schedules.ve(),
    "edm": schedules.edm(),
    "flow": schedules.rectified_flow(),
}
erf = np.vectorize(math.erf)


def _cdf(x, level):
    """P(x_t < x) of the mixture at a level."""
    x, a, s = np.asarray(x, np.float64)[:, 0], float(level.alpha), float(level.sigma)
    parts = zip(WEIGHTS, MEANS, VARIANCES)
    return sum(w * (0.5 + 0.5 * erf((x - a * m) / np.sqrt(2 * (a * a * v + s * s)))) for w, m, v in parts)


@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_the_flow_carries_quantiles_to_quantiles(x64, name):
    """On a line the ODE keeps order, so that P(x_t < x) is the same all along, and back."""
    schedule = SCHEDULES[name]
    top, bottom = schedule(schedule.t_max), schedule(schedule.t_min)
    x = schedule.prior_std * jnp.linspace(-2, 2, 9)[:, None]
    down = adaptive.sample_ode(
        KEY,
        MIXTURE.denoiser(),
        schedule,
        x_init=x,
        times=(schedule.t_max, schedule.t_min),
        rtol=1e-8,
        atol=1e-8,
    )
    np.testing.assert_allclose(_cdf(down, bottom), _cdf(x, top), atol=1e-6)
    up = adaptive.sample_ode(
        KEY,
        MIXTURE.denoiser(),
        schedule,
        x_init=down,
        times=(schedule.t_min, schedule.t_max),
        rtol=1e-8,
        atol=1e-8,
    )
    np.testing.assert_allclose(up, x, rtol=1e-5, atol=1e-6)


def test_the_error_follows_the_tolerance(x64):
    schedule, errors = SCHEDULES["edm"], []
    x = 80.0 * jnp.linspace(-2, 2, 9)[:, None]
    for tol in (1e-3, 1e-6):
        down = adaptive.sample_ode(
            KEY, MIXTURE.denoiser(), schedule, x_init=x, times=(80.0, 0.01), rtol=tol, atol=tol
        )
        errors.append(np.abs(_cdf(down, schedule(0.01)) - _cdf(x, schedule(80.0))).max())
    assert errors[0] < 0.02 and errors[1] < 0.02 * errors[0], errors


def test_a_walk_to_clean_data_ends_with_the_predicted_data():
    schedule = SCHEDULES["edm"]
    run = lambda to: adaptive.sample_ode(KEY, MIXTURE.denoiser(), schedule, shape=(8, 1), times=(80.0, to))
    level = schedule(np.float64(schedule.t_min))
    np.testing.assert_allclose(run(0.0), MIXTURE.predict(run(schedule.t_min), level).x0, rtol=1e-5, atol=1e-6)
    default = adaptive.sample_ode(KEY, MIXTURE.denoiser(), schedule, shape=(8, 1))
    np.testing.assert_array_equal(default, run(0.0))
    assert default.dtype == jnp.float32
    start = samplers.start(KEY, schedule, (8, 1))
    fixed = samplers.sample(
        KEY,
        MIXTURE.denoiser(),
        schedule,
        samplers.edm_heun(),
        samplers.grids.karras(200, 0.002, 80.0),
        x_init=start,
    )
    np.testing.assert_allclose(default, fixed, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ve", "flow"])
def test_the_reverse_sde_has_the_law_of_the_data(name):
    """Kolmogorov's distance of 2000 samples to the exact law; 1.95 / sqrt(n) has level 1e-3."""
    schedule, n = SCHEDULES[name], 2000
    options = {"times": (0.98, 0.0)} if name == "flow" else {}
    x = adaptive.sample_sde(KEY, MIXTURE.denoiser(), schedule, shape=(n, 1), **options)
    ranks = np.sort(_cdf(x, schedule(np.float64(0.0))))
    distance = np.abs(ranks - (np.arange(n) + 0.5) / n).max()
    assert distance < 1.95 / np.sqrt(n), distance
    assert x.dtype == jnp.float32


def test_of_a_likelihoods_times_only_the_ends_count(x64):
    schedule, x = SCHEDULES["ve"], jnp.linspace(-2, 2, 5)[:, None]
    options = {"integrator": adaptive.integrator(1e-8, 1e-8)}
    ends = samplers.log_likelihood(None, MIXTURE.denoiser(), schedule, x, times=[1e-5, 1.0], **options)
    grid = samplers.log_likelihood(None, MIXTURE.denoiser(), schedule, x, **options)
    np.testing.assert_allclose(ends, grid, rtol=1e-10)


def test_diffrax_is_imported_when_it_is_used():
    code = "import sys, diffjax; assert not {'diffrax', 'equinox', 'lineax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: adaptive.integrator(rtol=0.0), "rtol and atol must be positive, got 0.0 and 1e-05"),
        (
            lambda: adaptive.sample_ode(KEY, MIXTURE.denoiser(), schedules.linear_beta(10), shape=(2, 1)),
            "an adaptive ODE needs .* a discrete chain has none",
        ),
        (
            lambda: adaptive.sample_sde(KEY, MIXTURE.denoiser(), schedules.linear_beta(10), shape=(2, 1)),
            "an adaptive SDE needs .* a discrete chain has none",
        ),
        (
            lambda: adaptive.sample_sde(KEY, MIXTURE.denoiser(), SCHEDULES["flow"], shape=(2, 1)),
            "infinite at alpha = 0; start at a smaller time",
        ),
        (
            lambda: adaptive.sample_sde(
                KEY, MIXTURE.denoiser(), SCHEDULES["vp"], shape=(2, 1), times=(0.1, 1.0)
            ),
            "times must decrease, got 0.1, 1",
        ),
        (
            lambda: adaptive.sample_ode(
                KEY, MIXTURE.denoiser(), SCHEDULES["vp"], shape=(2, 1), times=(1, 0.5, 0)
            ),
            r"times must be \(from, to\)",
        ),
        (
            lambda: adaptive.sample_sde(KEY, MIXTURE.denoiser(), SCHEDULES["vp"], shape=(2, 1), rtol=-1.0),
            "rtol and atol must be positive, got -1.0 and 0.01",
        ),
        (
            lambda: adaptive.sample_ode(KEY, MIXTURE.denoiser(), SCHEDULES["vp"]),
            "exactly one of shape and x_init",
        ),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_without_diffrax_the_way_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"pip install diffjax\[adaptive\]"):
        adaptive.integrator(rtol=2e-5)
