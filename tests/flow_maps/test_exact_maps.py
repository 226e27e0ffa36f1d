"""The exact flow maps: against scipy, against each other, and what a flow is by definition."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import integrate

from diffjax import exact, flow_maps, samplers
from diffjax.process import schedules, sde

EDM, FLOW, VP = schedules.edm(), schedules.rectified_flow(), schedules.vp_linear()
TILTED = mixtures.tilted()
X = np.random.default_rng(0).normal(size=(4, 2))


def test_a_mixture_s_map_is_where_the_ode_goes(x64):
    score = jax.jit(TILTED.score)

    def slope(t, x):
        x = jnp.asarray(x.reshape(-1, 2))
        return np.asarray(sde.probability_flow(EDM, score(x, EDM(t)), x, np.float64(t))).ravel()

    start = 20 * X
    end = integrate.solve_ivp(slope, [20.0, 0.05], start.ravel(), "DOP853", rtol=1e-12, atol=1e-12)
    there = jax.jit(lambda x, t, s: TILTED.flow_map(x, EDM(t), EDM(s)))
    found = there(start, 20.0, 0.05)
    np.testing.assert_allclose(found, end.y[:, -1].reshape(-1, 2), atol=1e-8)
    np.testing.assert_allclose(there(found, 0.05, 20.0), start, atol=1e-7)


def test_two_hops_are_one_from_pure_noise_to_data(x64):
    """Also on a schedule without signal at its end, and with a level for each sample."""
    at = jax.jit(lambda x, t, s: TILTED.flow_map(x, FLOW(t), FLOW(s)))
    middle = jnp.array([0.9, 0.5, 0.2, 0.7])
    whole = at(X, jnp.ones(4), jnp.zeros(4))
    np.testing.assert_allclose(at(at(X, jnp.ones(4), middle), middle, jnp.zeros(4)), whole, atol=1e-8)
    np.testing.assert_allclose(at(whole, jnp.zeros(4), jnp.ones(4)), X, atol=1e-7)
    np.testing.assert_array_equal(at(X, middle, middle), X)


def test_clean_data_stay_where_they_are():
    """Also where they do not vary: a point, and a flat direction."""
    data = jnp.array([[0.5, 1.0]])
    flat = exact.gaussian_mixture([1.0], [[0.5, 0.5]], [[0.0, 1.0]])
    for flow_map in (flow_maps.exact_gaussian(data, 0.0), flat.flow_map):
        for schedule in (EDM, FLOW, VP):
            np.testing.assert_allclose(flow_map(data, schedule(0.0), schedule(0.0)), data, rtol=1e-6)


def test_float32_goes_where_float64_goes():
    """The integration is in float64 whatever x is, inside jit and outside."""
    level = VP(1.0), VP(1e-3)
    single = TILTED.flow_map(X.astype(np.float32), *level)
    with jax.enable_x64(True):
        double = TILTED.flow_map(X, *level)
    assert single.dtype == jnp.float32 and double.dtype == jnp.float64
    np.testing.assert_allclose(single, double, atol=5e-6)


@pytest.mark.parametrize("schedule", [FLOW, VP])
def test_one_gaussian_is_the_closed_form_and_the_ode(x64, schedule):
    """A mixture of two equal Gaussians is integrated; one Gaussian is not, nor a variance alone."""
    covariance = [[0.3, 0.2], [0.2, 0.25]]
    one = exact.gaussian_mixture([1.0], [[0.5, -1.0]], [covariance])
    two = exact.gaussian_mixture([0.3, 0.7], [[0.5, -1.0]] * 2, [covariance] * 2)
    levels = schedule(0.9), schedule(0.1)
    np.testing.assert_allclose(one.flow_map(X, *levels), two.flow_map(X, *levels), atol=1e-8)
    round_ = exact.gaussian_mixture([1.0], [[0.5, -1.0]], [0.25])
    elementwise = flow_maps.exact_gaussian(np.array([0.5, -1.0]), 0.25)
    np.testing.assert_allclose(round_.flow_map(X, *levels), elementwise(X, *levels), atol=1e-12)


def test_a_gaussian_s_map_is_the_consistency_function(x64):
    """f(x, t) = m + sqrt((s^2 + e^2) / (s^2 + t^2)) (x - m) (Song et al. 2023), and MeanFlow's z_r."""
    f = flow_maps.exact_gaussian(0.3, 0.49)
    expected = 0.3 + np.sqrt((0.49 + 0.002**2) / (0.49 + 9.0)) * (X - 0.3)
    np.testing.assert_allclose(f(X, EDM(3.0), EDM(0.002)), expected, atol=1e-12)
    std = lambda t: np.sqrt((1 - t) ** 2 * 0.49 + t**2)
    expected = 0.7 * 0.3 + std(0.3) / std(0.8) * (X - 0.2 * 0.3)
    np.testing.assert_allclose(f(X, FLOW(0.8), FLOW(0.3)), expected, atol=1e-12)


def test_a_class_has_the_map_of_its_own_components(x64):
    label = np.array([0, 1, 1, -1])
    found = jax.jit(lambda label: TILTED.flow_map(X, EDM(2.0), EDM(0.1), label))(label)
    own = exact.gaussian_mixture([1.0], TILTED.means[2:], TILTED.covariances[2:])
    np.testing.assert_allclose(found[1:3], own.flow_map(X[1:3], EDM(2.0), EDM(0.1)), atol=1e-8)
    np.testing.assert_allclose(found[3], TILTED.flow_map(X, EDM(2.0), EDM(0.1))[3], atol=1e-8)
    with pytest.raises(ValueError, match="label must be one of"):
        own.flow_map(X, EDM(2.0), EDM(0.1), 7)


@pytest.mark.parametrize(
    ("solver", "order"),
    [(samplers.ddim(), 1), (samplers.euler(), 1), (samplers.edm_heun(), 2), (samplers.heun(), 2)],
    ids=["ddim", "euler", "edm_heun", "heun"],
)
def test_the_map_of_a_denoiser_is_exact_as_steps_grow(x64, solver, order):
    """Traced levels, one for each sample."""
    t, s = jnp.array([0.8, 0.6, 0.9, 0.7]), jnp.array([0.3, 0.2, 0.1, 0.5])
    maps = [flow_maps.of_denoiser(TILTED.denoiser(), solver, FLOW, n) for n in (32, 64)]
    found = jax.jit(lambda x: jnp.stack([f(x, FLOW(t), FLOW(s)) for f in maps]))(X)
    error = np.abs(found - TILTED.flow_map(X, FLOW(t), FLOW(s))).max((1, 2))
    assert abs(np.log2(error[0] / error[1]) - order) < 0.15


def test_one_step_of_ddim_lands_on_the_data_of_the_denoiser():
    x = jnp.asarray(X, jnp.float32)
    maps = [flow_maps.of_denoiser(TILTED.denoiser(), each) for each in (None, samplers.edm_heun())]
    for f in maps:
        found = jax.jit(lambda x, f=f: (f(x, EDM(2.0), EDM(0.0)), TILTED.predict(x, EDM(2.0)).x0))(x)
        np.testing.assert_allclose(*found, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: flow_maps.of_denoiser(d, samplers.ddim(1.0)), "solver must draw no noise"),
        (lambda d: flow_maps.of_denoiser(d, steps=2), "schedule must be given: 2 steps need levels between"),
        (lambda d: flow_maps.of_denoiser(d, steps=0), "steps must be a positive integer, got 0"),
        (
            lambda d: flow_maps.of_denoiser(d, samplers.dpm_2())(X, EDM(2.0), EDM(1.0)),
            "schedule must be given: this solver needs levels between",
        ),
        (lambda d: flow_maps.exact_gaussian(0.0, -1.0), r"variance must be in \[0, inf\], got -1"),
    ],
)
def test_what_is_no_flow_map_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(TILTED.denoiser())
