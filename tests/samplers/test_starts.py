"""What x is where a walk begins: noise of a known scale, or a refusal that names the start."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.samplers import adaptive, starts

KEY = jax.random.key(0)
FLOW, EDM, VE = schedules.rectified_flow(), schedules.edm(), schedules.ve(0.01, 50.0)
V = 0.3


def _gaussian(x, level, cond=None):
    """The exact denoiser of N(0, V)."""
    shrink = x / (level.alpha**2 * V + level.sigma**2)
    return prediction.Prediction(level.alpha * V * shrink, level.sigma * shrink)


LEAVE_DATA = {
    "linear 100": schedules.linear_beta(100),
    "linear 300": schedules.linear_beta(300),
    "scaled linear 200": schedules.scaled_linear(200),
    "sigmoid 100": schedules.sigmoid_beta(100),
    "linear 100, continuous": schedules.linear_beta(100).continuous(),
    "vp to 5": schedules.vp_linear(0.1, 5.0),
    "sub-vp to 5": schedules.sub_vp(0.1, 5.0),
    "cut cosine": schedules.vp_cosine(log_snr_min=-4.0, log_snr_max=15.0),
    "vdm to -2": schedules.log_snr_linear(10.0, -2.0),
    "vp, shifted": schedules.shifted(schedules.vp_linear(0.1, 10.0), 0.5),
}


@pytest.mark.parametrize("name", LEAVE_DATA)
def test_a_schedule_that_ends_with_data_in_x_is_no_start(name):
    schedule = LEAVE_DATA[name]
    top = schedule(np.float64(schedule.t_max))
    assert top.alpha > 0.1 * top.sigma
    times = np.linspace(schedule.t_max, schedule.t_min, 5)
    message = (
        rf"t_max = {schedule.t_max:g}, where x is pure noise, .* alpha / sigma is {top.alpha / top.sigma:.3g}"
    )
    with pytest.raises(ValueError, match=message):
        samplers.sample(KEY, _gaussian, schedule, samplers.ddim(), times, shape=(2, 1))
    x = samplers.sample(KEY, _gaussian, schedule, samplers.ddim(), times, x_init=jnp.ones((2, 1)))
    assert jnp.isfinite(x).all()


@pytest.mark.parametrize(
    ("schedule", "t"),
    [
        (VE, VE.inv_sigma(5.0)),
        (EDM, 8.0),
        (FLOW, 0.9),
        (schedules.linear_beta(1000), 600),
        (schedules.vp_linear(), 0.6),
    ],
)
def test_a_grid_that_begins_where_data_are_left_is_no_start(schedule, t):
    with pytest.raises(ValueError, match="where x is pure noise, got"):
        starts.noise_scale(schedule, t)
    if schedule.num_steps is None:
        with pytest.raises(ValueError, match="where x is pure noise, got"):
            samplers.dpm_adaptive(KEY, _gaussian, schedule, shape=(2, 1), times=(t, schedule.t_min))
        with pytest.raises(ValueError, match="where x is pure noise, got"):
            adaptive.sample_ode(KEY, _gaussian, schedule, shape=(2, 1), times=(t, schedule.t_min))


@pytest.mark.parametrize("top", [1.0, 2.0, 9.6])
def test_levels_in_the_units_of_the_data_are_a_start_at_their_own_end(top):
    """NCSN's largest sigma is 1: it was chosen with the data, which no schedule knows."""
    assert starts.noise_scale(schedules.geometric(top, 0.01, 10), 10) == top
    with pytest.raises(ValueError, match="where x is pure noise"):
        starts.noise_scale(schedules.geometric(top, 0.01, 10), 6)


def _reaches(schedule, ratio):
    top = schedule(np.float64(schedule.t_max))
    return ratio * top.alpha <= top.sigma


EVERY = itertools.product(
    [FLOW, VE, EDM, schedules.vp_linear(), schedules.vp_cosine()], [10.0, 20.0, 80.0, 1e4]
)


@pytest.mark.parametrize(("schedule", "ratio"), [case for case in EVERY if _reaches(*case)])
def test_the_scale_is_that_of_the_noise_at_the_first_time(schedule, ratio):
    """Within 1 % of the deviation of x where data of unit scale are 1 / ratio of the noise."""
    t = schedule.inv_sigma(np.float64(ratio))
    level = schedule(t)
    scale, exact = starts.noise_scale(schedule, t), np.sqrt(level.sigma**2 + level.alpha**2 * V)
    assert abs(scale / exact - 1) < 0.01


@pytest.mark.parametrize("ratio", [10.0, 80.0])
def test_samples_of_a_flow_have_the_variance_of_the_data(ratio):
    times = FLOW.inv_sigma(samplers.grids.karras(60, 0.002, ratio))
    x = samplers.sample(KEY, _gaussian, FLOW, samplers.dpm_solver_pp(2), times, shape=(50_000, 1))
    assert abs(float(jnp.var(x)) / V - 1) < 0.02  # known to 0.6 %


def test_the_noisiest_time_starts_from_the_prior_itself():
    for schedule in (EDM, VE, FLOW, schedules.linear_beta(1000), schedules.log_snr_linear()):
        assert starts.noise_scale(schedule, schedule.t_max) == schedule.prior_std
    x = starts.start_of(KEY, EDM, (4, 2), [80.0, 1.0])
    np.testing.assert_array_equal(x, samplers.start(KEY, EDM, (4, 2)))


def test_a_start_in_half_precision_is_walked_in_float32():
    """Also where the network answers in half precision, with a solver that remembers its answers."""
    times, x = samplers.grids.karras(12, 0.02, 80.0), 80 * jax.random.normal(KEY, (64, 2))
    half = x.astype(jnp.bfloat16)

    def answers(x, level, cond=None):
        said = _gaussian(x, level)
        return prediction.Prediction(said.x0.astype(jnp.bfloat16), said.eps.astype(jnp.bfloat16))

    for solver in (samplers.ddim(), samplers.unipc(2), samplers.heun(), samplers.pndm()):
        walk = lambda denoise, x, solver=solver: samplers.sample(KEY, denoise, EDM, solver, times, x_init=x)
        ours = walk(_gaussian, half)
        assert ours.dtype == jnp.float32
        np.testing.assert_array_equal(ours, walk(_gaussian, half.astype(jnp.float32)))
        np.testing.assert_allclose(walk(answers, half), ours, atol=0.05)
    assert samplers.start_from(KEY, EDM, half, 1.0).dtype == jnp.float32
