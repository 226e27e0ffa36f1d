"""What every schedule promises, whatever it is; a new one gets its tests by its entry in SCHEDULES."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from diffjax.process import schedules
from diffjax.process.level import NoiseLevel

CHAIN = schedules.linear_beta(1000)
SCHEDULES = {
    "cosine_beta": schedules.cosine_beta(1000),
    "from_betas": schedules.from_betas(np.linspace(1e-3, 0.2, 100)),
    "geometric": schedules.geometric(50.0, 0.01, 200),
    "linear_beta": CHAIN,
    "scaled_linear": schedules.scaled_linear(1000),
    "sigmoid_beta": schedules.sigmoid_beta(1000),
    "zero_terminal_snr": schedules.zero_terminal_snr(CHAIN),
    "edm": schedules.edm(),
    "learned": schedules.learned(lambda t: 18 * t - 13 + 0.5 * jnp.sin(6 * t)),
    "log_snr_linear": schedules.log_snr_linear(),
    "rectified_flow": schedules.rectified_flow(),
    "shifted": schedules.shifted(schedules.rectified_flow(), 3.0),
    "sub_vp": schedules.sub_vp(),
    "ve": schedules.ve(),
    "vp_cosine": schedules.vp_cosine(s=0.008),
    "vp_linear": schedules.vp_linear(),
    "a chain in real time": CHAIN.continuous(),
}
CHAINS = [name for name, schedule in SCHEDULES.items() if schedule.num_steps is not None]
CONTINUOUS = [name for name in SCHEDULES if name not in CHAINS]
NO_REAL_TIME = "zero_terminal_snr"  # its last log SNR is -inf
every = pytest.mark.parametrize("name", SCHEDULES)
in_real_time = pytest.mark.parametrize("name", [name for name in SCHEDULES if name != NO_REAL_TIME])


def _times(schedule, n=21):
    """Times from t_min to t_max, both ends with them; whole ones of a chain."""
    times = np.linspace(schedule.t_min, schedule.t_max, n)
    return times if schedule.num_steps is None else np.unique(np.rint(times))


def _inside(schedule, n=21):
    """Times apart from both ends, where rates are finite and no coefficient is 0."""
    span = schedule.t_max - schedule.t_min
    times = np.linspace(schedule.t_min + 0.05 * span, schedule.t_max - 0.05 * span, n)
    return times if schedule.num_steps is None else np.unique(np.rint(times))


def test_every_public_schedule_is_listed():
    public = {name for name, value in vars(schedules).items() if inspect.isroutine(value) and name[0] != "_"}
    assert public <= set(SCHEDULES)


@every
def test_it_is_one_and_says_so(name):
    assert isinstance(SCHEDULES[name], schedules.Schedule)
    assert (name in CHAINS) == isinstance(SCHEDULES[name], schedules.Chain)


@every
def test_host_times_give_float64_of_their_shape(name):
    schedule = SCHEDULES[name]
    for t in (np.float64(_inside(schedule)[3]), _inside(schedule)[:4], _inside(schedule)[:4].reshape(2, 2)):
        level = schedule(t)
        assert isinstance(level, NoiseLevel)
        assert {(np.shape(f), np.asarray(f).dtype) for f in level if f is not None} == {
            (t.shape, np.dtype("f8"))
        }


@every
def test_signal_falls_noise_rises_and_log_snr_is_of_both(name):
    level = SCHEDULES[name](_times(SCHEDULES[name], 101))
    assert (np.diff(level.alpha) <= 0).all() and (level.alpha >= 0).all() and (level.sigma >= 0).all()
    assert (np.diff(level.log_snr) < 0).all()
    with np.errstate(divide="ignore"):
        expected = 2 * (np.log(level.alpha) - np.log(level.sigma))
    np.testing.assert_allclose(level.log_snr, expected, rtol=1e-9, atol=1e-9)


@every
def test_what_is_left_at_t_max_is_the_prior(name):
    """The noise there has the prior's scale; a chain or a path that keeps some data is 2 % off at most."""
    level = SCHEDULES[name](np.float64(SCHEDULES[name].t_max))
    np.testing.assert_allclose(level.sigma, SCHEDULES[name].prior_std, rtol=0.02)


@every
def test_times_outside_are_refused_and_rounding_is_not(name):
    schedule = SCHEDULES[name]
    for outside in (-0.01 * schedule.t_max, np.nan):
        with pytest.raises(ValueError, match="t must be in"):
            schedule(np.float64(outside))
    if name != "edm":  # churn goes beyond t_max
        with pytest.raises(ValueError, match="t must be in"):
            schedule(np.float64(1.01 * schedule.t_max))
    schedule(np.float64(schedule.t_max) * (1 + 1e-15))


@in_real_time
def test_inverses_give_the_time_back(name):
    schedule, t = SCHEDULES[name], _inside(SCHEDULES[name])
    level = schedule(t)
    tolerance = {"rtol": 1e-5 if name == "learned" else 1e-7, "atol": 1e-6 * schedule.t_max}
    np.testing.assert_allclose(schedule.inv_sigma(level.sigma / level.alpha), t, **tolerance)
    np.testing.assert_allclose(schedule.inv_log_snr(level.log_snr), t, **tolerance)
    np.testing.assert_allclose(schedule.at_ratio(level.sigma / level.alpha).log_snr, level.log_snr, rtol=1e-5)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_rates_are_the_derivatives(name):
    schedule, t = SCHEDULES[name], _inside(SCHEDULES[name])
    h = 1e-5 * schedule.t_max
    low, level, high = schedule(t - h), schedule(t), schedule(t + h)
    scale = np.abs(level.d_sigma).max() + np.abs(level.d_alpha).max()
    for rate, below, above in (
        (level.d_alpha, low.alpha, high.alpha),
        (level.d_sigma, low.sigma, high.sigma),
    ):
        np.testing.assert_allclose(rate, (above - below) / (2 * h), rtol=1e-4, atol=1e-5 * scale)


@every
def test_random_times_are_inside_and_even(name):
    schedule = SCHEDULES[name]
    drawn = np.asarray(schedule.draw(jax.random.key(0), 4000), np.float64)
    first = 1 if name in CHAINS else schedule.t_min
    assert drawn.min() >= first * (1 - 1e-6) and drawn.max() <= schedule.t_max * (1 + 1e-6)
    middle = (first + schedule.t_max) / 2
    np.testing.assert_allclose(drawn.mean(), middle, atol=5 * (schedule.t_max - first) / np.sqrt(12 * 4000))
    spread = np.asarray(schedule.spread(jnp.linspace(0.01, 0.99, 50)))
    assert (np.diff(spread) >= 0).all() and spread.min() >= first and spread.max() <= schedule.t_max
    if name in CHAINS:
        assert (drawn == np.rint(drawn)).all() and (spread == np.rint(spread)).all()


@in_real_time
def test_the_same_process_in_real_time(name):
    schedule, t = SCHEDULES[name], _inside(SCHEDULES[name])
    real = schedule.continuous()
    assert real.num_steps is None and real.continuous() is real
    np.testing.assert_allclose(real(t).log_snr, schedule(t).log_snr, rtol=1e-6, atol=1e-6)
    assert real(t).d_alpha is not None


def test_what_has_no_form_in_real_time_says_so():
    with pytest.raises(ValueError, match="zero terminal SNR has no continuous form"):
        SCHEDULES[NO_REAL_TIME].continuous()


@every
def test_the_step_before(name):
    schedule, t = SCHEDULES[name], _inside(SCHEDULES[name])
    if name in CHAINS:
        chex.assert_trees_all_close(schedule.step_before(schedule(t)), schedule(t - 1), rtol=1e-12)
    else:
        with pytest.raises(ValueError, match="needs a chain"):
            schedule.step_before(schedule(t))


class OnDevice(chex.TestCase):
    """Levels of traced times are the host's, rounded; one program serves all times."""

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    @parameterized.named_parameters(*((name, name) for name in SCHEDULES))
    def test_levels_are_the_host_s(self, name):
        schedule = SCHEDULES[name]
        t = _inside(schedule, 8)
        ours, theirs = self.variant(schedule)(jnp.asarray(t, jnp.float32)), schedule(t)
        chex.assert_trees_all_equal_structs(ours, theirs)
        chex.assert_trees_all_equal_shapes(ours, theirs)
        chex.assert_tree_all_finite(ours)
        # a time has 6e-8 of its own, which log SNR and the rates stretch
        worst = lambda a, b: np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b) + 1e-3)
        assert max(jax.tree.leaves(jax.tree.map(worst, ours, theirs))) < 2e-4

    @parameterized.named_parameters(*((name, name) for name in SCHEDULES))
    def test_other_times_are_the_same_program(self, name):
        schedule = SCHEDULES[name]
        chex.clear_trace_counter()
        level = jax.jit(chex.assert_max_traces(schedule.__call__, n=1))
        for t in (_inside(schedule, 8), _inside(schedule, 8)[::-1]):
            level(jnp.asarray(t, jnp.float32))
