"""Strengths over the noise: their formulas, exactly what was said at both ends, traced in float32 too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.guidance import strengths
from diffjax.process import schedules

SCHEDULES = {
    "flow": schedules.rectified_flow(),
    "vp": schedules.vp_linear(),
    "cosine": schedules.vp_cosine(),
    "chain": schedules.cosine_beta(20),
}
FORMULAS = {
    "linear": (lambda s: strengths.linear(s, 0.5, 3.0), lambda u: u),
    "power": (lambda s: strengths.power(s, 0.5, 3.0, 2.5), lambda u: u**2.5),
    "cosine": (lambda s: strengths.cosine(s, 0.5, 3.0), lambda u: np.sin(np.pi * u / 2) ** 2),
    "power cosine": (lambda s: strengths.cosine(s, 0.5, 3.0, 4.0), lambda u: np.sin(np.pi * u**4 / 2) ** 2),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("make, way", FORMULAS.values(), ids=FORMULAS)
def test_between_two_strengths(schedule, make, way):
    weight, chain = make(schedule), schedule.num_steps is not None
    low, high = (1, schedule.num_steps) if chain else (schedule.t_min, schedule.t_max)
    times = np.linspace(low, high, 20)
    u = (high - times) / (high - low)
    expected = 0.5 + 2.5 * way(u)
    times = np.rint(times).astype(int) if chain else times
    np.testing.assert_allclose(weight(schedule(times)), expected, rtol=1e-9)
    traced = jax.jit(lambda t: weight(schedule(t)))(jnp.asarray(times, np.int32 if chain else np.float32))
    assert traced.dtype == jnp.float32
    np.testing.assert_allclose(traced, expected, rtol=1e-5)
    assert [float(weight(schedule(t))) for t in (times[-1], times[0])] == [0.5, 3.0]


def test_between_levels_it_is_linear_in_the_logarithm_of_the_ratio():
    weight, edm = strengths.levels([(0.1, 0.0), (1.6, 4.0), (6.4, 2.0)]), schedules.edm()
    sigma = np.array([0.01, 0.1, 0.4, 1.6, 3.2, 6.4, 80.0])
    expected = [0, 0, 2, 4, 3, 2, 2]  # beyond the ends theirs; half way by ratio between
    np.testing.assert_allclose(weight(edm(sigma)), expected, atol=1e-9)
    np.testing.assert_allclose(
        jax.jit(lambda s: weight(edm(s)))(jnp.asarray(sigma, "f")), expected, atol=1e-5
    )
    vp = schedules.vp_linear()  # of alpha below 1 by the ratio as well
    at = vp.inv_sigma(0.4)
    np.testing.assert_allclose(weight(vp(at)), 2, rtol=1e-6)


def test_time_that_is_sigma_itself_is_refused():
    """Half of it would be over at sigma = 40 of 80, where nothing is decided yet."""
    for make in (strengths.linear, strengths.power, strengths.cosine):
        with pytest.raises(ValueError, match="schedule must have a time of its own, and this one's is sigma"):
            make(schedules.edm(), 0.0, 1.0)
