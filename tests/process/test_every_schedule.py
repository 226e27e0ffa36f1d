"""What every schedule promises; each is one line in `schedule_list.py`."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from schedule_list import SCHEDULES, times

from diffjax.process import forward, schedules
from diffjax.process.level import Schedule

REAL = [name for name, each in SCHEDULES.items() if each.schedule.num_steps is None]
CHAINS = [name for name in SCHEDULES if name not in REAL]
HAS_INVERSE = [name for name in SCHEDULES if name != "zero_terminal_snr"]  # no continuous form


def test_every_schedule_is_listed():
    makers = {
        name
        for name, value in vars(schedules).items()
        if inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
    }
    assert makers == {each.maker for each in SCHEDULES.values()}


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_is_a_schedule(name):
    schedule = SCHEDULES[name].schedule
    assert isinstance(schedule, Schedule)
    assert 0 <= schedule.t_min < schedule.t_max and schedule.prior_std > 0
    assert (schedule.num_steps is None) == (schedule(times(name)[-1]).d_alpha is not None)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_grows(name):
    """log SNR falls, from where the list says it starts to -infinity where the data are forgotten."""
    listed = SCHEDULES[name]
    t = np.arange(1.0, listed.schedule.num_steps + 1) if name in CHAINS else times(name, 400)
    level = listed.schedule(t)
    assert (np.diff(level.log_snr) < 0).all() and (level.sigma > 0).all() and (level.alpha >= 0).all()
    assert (np.diff(level.alpha) < 1e-14).all()
    start, end = listed.schedule(0.0), listed.schedule(float(listed.schedule.t_max))
    np.testing.assert_allclose(start.log_snr, listed.first, rtol=1e-6)
    assert (end.log_snr == -np.inf) == (end.alpha == 0) == listed.forgets
    if np.isinf(listed.first):
        assert start.alpha == 1 and start.sigma == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_is_that_of_alpha_and_sigma(name):
    level = SCHEDULES[name].schedule(times(name)[:-1])
    np.testing.assert_allclose(level.log_snr, 2 * np.log(level.alpha / level.sigma), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_host_device_and_jit_agree(x64, name):
    schedule, t = SCHEDULES[name].schedule, times(name)
    host, device, jitted = schedule(t), schedule(jnp.asarray(t)), jax.jit(schedule)(jnp.asarray(t))
    for ours, theirs, compiled in zip(host, device, jitted):
        if ours is None:
            assert theirs is None and compiled is None
            continue
        assert isinstance(ours, np.ndarray) and ours.dtype == np.float64
        assert isinstance(theirs, jax.Array) and theirs.dtype == np.float64
        np.testing.assert_allclose(theirs, ours, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(compiled, ours, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", REAL)
def test_rates_are_finite_differences(name):
    """Central differences of order 4 on the host, inside one piece of those that are made of pieces."""
    schedule, t = SCHEDULES[name].schedule, times(name)[4:-1]
    if name.endswith("_continuous") or name == "shifted_geometric":
        t, h = np.rint(t) + 0.5, 0.05
    else:
        h = 1e-3 * np.minimum(t - schedule.t_min, schedule.t_max - t)
    level = schedule(t)
    one, two = (np.array(schedule(t + k * h)[1:3]) - schedule(t - k * h)[1:3] for k in (1, 2))
    slopes = (8 * one - two) / (12 * h)
    np.testing.assert_allclose(level.d_alpha, slopes[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(level.d_sigma, slopes[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", HAS_INVERSE)
def test_the_inverses_are_inverses(x64, name):
    schedule, t = SCHEDULES[name].schedule, times(name)[:-1]
    level = schedule(t)
    for of in (np.asarray, jnp.asarray):
        np.testing.assert_allclose(
            schedule.inv_sigma(of(level.sigma / level.alpha)), t, rtol=1e-8, atol=1e-12
        )
        np.testing.assert_allclose(schedule.inv_log_snr(of(level.log_snr)), t, rtol=1e-8, atol=1e-12)
    assert isinstance(schedule.inv_sigma(level.sigma / level.alpha), np.ndarray)
    found = schedule.at_ratio(level.sigma / level.alpha)
    np.testing.assert_allclose(found.sigma, level.sigma, rtol=1e-8)


@pytest.mark.parametrize("name", HAS_INVERSE)
def test_a_schedule_takes_the_times_of_its_own_inverse_at_both_ends(name):
    schedule = SCHEDULES[name].schedule
    for end in (float(schedule.t_min), float(schedule.t_max)):
        level = schedule(np.float64(end))
        with np.errstate(divide="ignore"):
            back = schedule(schedule.inv_sigma(level.sigma / level.alpha))
        np.testing.assert_allclose(back.t, end, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(back.sigma, level.sigma, rtol=1e-9, atol=1e-12)
    least = schedule(schedule.inv_sigma(np.float64(0.0)))
    np.testing.assert_allclose(least.sigma, schedule(0.0).sigma, rtol=1e-9, atol=1e-12)


_FAMILIES = {
    "ve": lambda u: schedules.ve(0.01, 2 + 398 * u),
    "vp_linear": lambda u: schedules.vp_linear(0.1, 5 + 25 * u),
    "sub_vp": lambda u: schedules.sub_vp(0.1, 5 + 25 * u),
    "vp_cosine": lambda u: schedules.vp_cosine(log_snr_min=-4 - 16 * u, log_snr_max=15.0),
    "log_snr_linear": lambda u: schedules.log_snr_linear(9 + 6 * u, -4 - 11 * u),
    "shifted": lambda u: schedules.shifted(schedules.ve(0.01, 2 + 398 * u), 0.3 + 2 * u),
}


@pytest.mark.parametrize("name", _FAMILIES)
def test_rounding_puts_no_end_outside(name):
    for u in np.random.default_rng(0).uniform(size=60):
        schedule = _FAMILIES[name](u)
        top = schedule(np.float64(schedule.t_max))
        level = schedule(schedule.inv_sigma(np.array([top.sigma / top.alpha, 0.5, 0.0])))
        assert level.t[0] <= schedule.t_max and level.t[-1] >= 0
        np.testing.assert_allclose(level.t[0], schedule.t_max, rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_pairs_compose(name):
    """q(x_t | x_s) carries the moments of x_s to x_t, and q(x_s | x_t, x_0) takes them back."""
    schedule, t = SCHEDULES[name].schedule, times(name)
    s, t = schedule(t[:-1]), schedule(t[1:])
    pair = forward.pair(s, t)
    np.testing.assert_allclose(pair.alpha_ts * s.alpha, t.alpha, rtol=1e-10, atol=1e-14)
    forwards = pair.alpha_ts**2 * s.sigma**2 + np.exp(pair.log_var_ts)
    np.testing.assert_allclose(forwards, t.sigma**2, rtol=1e-7)
    np.testing.assert_allclose(pair.mean_xt * t.alpha + pair.mean_x0, s.alpha, rtol=1e-7, atol=1e-12)
    backwards = pair.mean_xt**2 * t.sigma**2 + np.exp(pair.log_variance)
    np.testing.assert_allclose(backwards, s.sigma**2, rtol=1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_prior_is_the_noise_at_the_end(name):
    """All listed end in noise: there prior_std is sigma, but for what is left of data of variance 1."""
    schedule = SCHEDULES[name].schedule
    end = schedule(np.float64(schedule.t_max))
    np.testing.assert_allclose(
        schedule.prior_std, end.sigma, rtol=1e-9 if abs(end.alpha - 1) < 1e-9 else 5e-3
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_have_the_shape_of_their_times(name):
    schedule, t = SCHEDULES[name].schedule, times(name)[:4]
    for each in (t[0], t, t.reshape(2, 2), list(t)):
        level = schedule(each)
        assert {np.shape(field) for field in level if field is not None} == {np.shape(each)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_uniform_numbers_become_times(name):
    schedule = SCHEDULES[name].schedule
    low = 1 if name in CHAINS else schedule.t_min
    drawn = np.asarray(schedule.draw(jax.random.key(0), 4000), np.float64)
    spread = np.asarray(schedule.spread((jnp.arange(4000) + 0.5) / 4000), np.float64)
    assert (np.diff(spread) >= 0).all()
    for t in (drawn, spread):
        assert (t >= low * (1 - 1e-6)).all() and (t <= schedule.t_max * (1 + 1e-6)).all()
        assert (t == np.rint(t)).all() or name in REAL
        middle, width = 0.5 * (low + schedule.t_max), schedule.t_max - low
        assert abs(t.mean() - middle) < 0.03 * width


@pytest.mark.parametrize("name", SCHEDULES)
def test_continuous_forms_and_steps_before(name):
    schedule = SCHEDULES[name].schedule
    if name in REAL:
        assert schedule.continuous() is schedule
        with pytest.raises(ValueError, match=r"the step before a level .* needs a chain"):
            schedule.step_before(schedule(schedule.t_max))
        return
    assert schedule.step_before(schedule(3)) == schedule(2)
    if name in HAS_INVERSE:
        smooth, n = schedule.continuous(), np.arange(1.0, schedule.num_steps + 1)
        assert smooth.num_steps is None and smooth.prior_std == schedule.prior_std
        np.testing.assert_allclose(smooth(n).sigma, schedule(n).sigma, rtol=1e-9)


@pytest.mark.unchecked
@pytest.mark.parametrize("name", SCHEDULES)
def test_times_that_do_not_exist_are_refused(name):
    schedule = SCHEDULES[name].schedule
    wrong = [-0.01, np.nan, None, np.array([schedule.t_min, -1.0])]
    if getattr(schedule, "t_end", None) != np.inf:
        wrong += [schedule.t_max * 1.001, np.inf, jnp.float32(schedule.t_max * 1.001)]
    for t in wrong:
        with pytest.raises(ValueError, match=r"^t must be"):
            schedule(t)
    for t in ("noon", [[1], [2, 3]], 1j):
        with pytest.raises(ValueError, match=r"^t must be a number or an array of numbers"):
            schedule(t)


def _inside(schedule, n=8):
    """Times apart from both ends, where nothing is infinite or 0."""
    share = np.linspace(0.05, 0.95, n)
    t = schedule.t_min + share * (schedule.t_max - schedule.t_min)
    return t if schedule.num_steps is None else np.unique(np.rint(t))


class OnDevice(chex.TestCase):
    """Levels of traced times are the host's, rounded; one program serves all times."""

    @chex.variants(with_jit=True)  # without it and with pmap in test_traces, which is slow
    @parameterized.named_parameters(*((name, name) for name in SCHEDULES))
    def test_levels_are_the_host_s(self, name):
        schedule = SCHEDULES[name].schedule
        t = _inside(schedule)
        ours, theirs = self.variant(schedule)(jnp.asarray(t, jnp.float32)), schedule(t)
        chex.assert_trees_all_equal_structs(ours, theirs)
        chex.assert_trees_all_equal_shapes(ours, theirs)
        chex.assert_tree_all_finite(ours)
        # a time has 6e-8 of its own, which log SNR and the rates stretch
        worst = lambda a, b: np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b) + 1e-3)
        assert max(jax.tree.leaves(jax.tree.map(worst, ours, theirs))) < 2e-4

    @parameterized.named_parameters(*((name, name) for name in SCHEDULES))
    def test_other_times_are_the_same_program(self, name):
        schedule = SCHEDULES[name].schedule
        chex.clear_trace_counter()
        level = jax.jit(chex.assert_max_traces(schedule.__call__, n=1))
        for t in (_inside(schedule), _inside(schedule)[::-1]):
            level(jnp.asarray(t, jnp.float32))


@pytest.mark.parametrize("name", HAS_INVERSE)
def test_x_t_of_another_schedule_has_the_same_x0_and_noise(x64, name):
    """Within the ends; beyond them neither signal nor noise is larger than there."""
    schedule = SCHEDULES[name].schedule
    ends = schedule.continuous()(np.array([schedule.continuous().t_min, schedule.t_max]))
    with np.errstate(divide="ignore"):
        low, high = ends.sigma / ends.alpha
    ratio = np.geomspace(max(low, 1e-4) / 5, min(high, 1e4) * 5, 12)
    other = schedules.edm().at_ratio(ratio)
    x, level = forward.rescaled(jnp.asarray(0.7 - 0.4 * ratio)[:, None], other, schedule)
    inside = (ratio >= low) & (ratio <= high)
    assert inside.sum() >= 5
    found, expected = np.asarray(x)[:, 0], 0.7 * level.alpha - 0.4 * level.sigma
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((level.sigma / level.alpha)[inside], ratio[inside], rtol=1e-9)
    scale = found / (0.7 - 0.4 * ratio)
    assert (scale <= level.alpha * (1 + 1e-9)).all() and (scale * ratio <= level.sigma * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", HAS_INVERSE)
def test_x_t_goes_to_another_schedule_and_back_in_float32(name):
    """Traced, at levels that both have."""
    schedule, there = SCHEDULES[name].schedule.continuous(), schedules.edm()
    level = schedule(jnp.asarray(_inside(schedule), jnp.float32))
    x = jnp.ones((len(level.alpha), 2))

    @jax.jit
    def there_and_back(level):
        y, found = forward.rescaled(x, level, there)
        return y, forward.rescaled(y, found, schedule)

    y, (back, again) = there_and_back(level)
    assert y.dtype == back.dtype == jnp.float32
    both = np.asarray((level.sigma / level.alpha >= 0.002) & (level.sigma / level.alpha <= 80))
    np.testing.assert_allclose(back[both], x[both], rtol=1e-4)
    np.testing.assert_allclose(again.sigma[both], level.sigma[both], rtol=1e-4)
    np.testing.assert_allclose(y[:, 0][both], (1 / level.alpha)[both], rtol=1e-4)


def test_x_t_that_is_noise_is_that_of_the_noisiest_level():
    x, level = forward.rescaled(jnp.ones((1, 2)), schedules.rectified_flow()(1.0), schedules.edm())
    assert float(level.sigma) == pytest.approx(80) and np.asarray(x) == pytest.approx(80)
    clean, level = forward.rescaled(jnp.ones((1, 2)), schedules.edm()(0.0), schedules.cosine_beta(10))
    assert float(level.t) == 1 and np.asarray(clean) == pytest.approx(level.alpha, rel=1e-6)
