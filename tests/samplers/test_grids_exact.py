"""Time grids against their formulas."""

import numpy as np
import pytest
import reference

from diffjax.process import forward, schedules
from diffjax.samplers import grids


def test_uniform_and_quadratic():
    np.testing.assert_allclose(grids.uniform(4, 0.2, 1.0), [1.0, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(grids.quadratic(4, 0.0, 1.0), [1, 9 / 16, 1 / 4, 1 / 16, 0])


def test_karras_levels():
    t = grids.karras(18, 0.002, 80.0)
    assert len(t) == 19 and t[0] == 80 and t[17] == 0.002 and t[18] == 0
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(t[:-1], expected, rtol=1e-12)
    np.testing.assert_array_equal(grids.karras(1, 0.002, 80.0), [80, 0])


def test_grids_of_k_diffusion():
    golden, hyper = reference.load("kdiff_schedules")
    ends = hyper["sigma_min"], hyper["sigma_max"]
    beta_min, beta_d = hyper["vp"]["beta_min"], hyper["vp"]["beta_d"]
    for n in (10, 25):
        ours = {
            "karras": grids.karras(n, *ends, hyper["rho"]),
            "exponential": grids.exponential(n, *ends),
            "polyexponential": grids.polyexponential(n, *ends, hyper["polyexp_rho"]),
            "vp": grids.vp(n, beta_min, beta_min + beta_d, hyper["vp"]["eps_s"]),
        }
        for name, values in ours.items():
            np.testing.assert_allclose(values, golden[f"{name}_{n}"], rtol=1e-9, err_msg=name)
    bent = np.log10(grids.polyexponential(5, 0.1, 10.0, rho=2.0)[:-1])
    np.testing.assert_allclose(bent, -1 + 2 * np.array([1, 9 / 16, 1 / 4, 1 / 16, 0]), atol=1e-12)
    with pytest.raises(ValueError, match="a grid needs 0 < sigma_min"):
        grids.exponential(5, 0.0, 1.0)


def test_ancestral_steps_of_k_diffusion():
    """sigma_up is eta times the posterior's standard deviation; sigma_down is the rest of the new level."""
    golden, _ = reference.load("kdiff_schedules")
    edm, eta = schedules.edm(), golden["ancestral_eta"]
    pair = forward.pair(edm(golden["ancestral_to"]), edm(golden["ancestral_from"]))
    up = eta * np.exp(0.5 * pair.log_variance)
    np.testing.assert_allclose(up, golden["ancestral_up"], rtol=1e-9)
    down = np.sqrt(golden["ancestral_to"] ** 2 - up**2)
    np.testing.assert_allclose(down, golden["ancestral_down"], rtol=1e-9)


def test_equal_steps_of_log_snr():
    for schedule, ends in [
        (schedules.edm(), (0.002, 80.0)),
        (schedules.rectified_flow(), (0.01, 0.98)),
        (schedules.linear_beta(1000).continuous(), (1.0, 1000.0)),
    ]:
        t = grids.log_snr(20, schedule, *ends)
        assert len(t) == 21 and (t[-1], t[0]) == ends
        steps = np.diff(schedule(t).log_snr)
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-8)
    chain = schedules.linear_beta(1000)
    exact = grids.log_snr(20, chain.continuous(), 1.0, 1000.0)
    np.testing.assert_array_equal(grids.log_snr(20, chain), np.rint(exact))
    merged = grids.log_snr(200, chain)  # more than the first steps of the chain can tell apart
    assert len(merged) < 201 and (np.diff(merged) <= -1).all() and merged[[0, -1]].tolist() == [1000, 1]


def test_spaced_keeps_the_last_step_and_lands_on_data():
    for sections, count in [("ddim50", 50), ("250", 250), ([10, 15, 20], 45), (7, 7)]:
        t = grids.spaced(1000, sections)
        assert len(t) == count + 1 and t[-1] == 0 and t[-2] == 1 and (np.diff(t) < 0).all()
    np.testing.assert_array_equal(grids.spaced(1000, 4), [1000, 667, 334, 1, 0])
    np.testing.assert_array_equal(grids.spaced(10, "ddim5"), [9, 7, 5, 3, 1, 0])
    np.testing.assert_array_equal(grids.spaced(5, "5"), [5, 4, 3, 2, 1, 0])


CHAIN, VP, VDM = schedules.linear_beta(1000), schedules.vp_linear(), schedules.log_snr_linear(10.0, -8.0)


def test_a_grid_of_any_schedule_by_its_kind():
    """From the noisiest time to data, or to the level that a schedule starts at."""
    make = grids.make
    np.testing.assert_array_equal(make(VP, 4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_array_equal(make(CHAIN, 4), [1000, 750, 500, 250, 0])
    np.testing.assert_array_equal(make(VP, 4, "quadratic"), np.array([4, 3, 2, 1, 0]) ** 2 / 16)
    np.testing.assert_array_equal(make(CHAIN, 5, "quadratic"), [1000, 640, 360, 160, 40, 0])
    np.testing.assert_array_equal(make(CHAIN, "ddim50", "spaced"), grids.spaced(1000, "ddim50"))
    equal = np.diff(VDM(make(VDM, 5, "log_snr")).log_snr)
    np.testing.assert_allclose(equal, 18 / 5)
    noise = VP(make(VP, 5, "log_snr"))
    assert noise.sigma[-1] == 0 and noise.t[-2] == VP.t_min
    np.testing.assert_allclose(np.diff(noise.log_snr[:-1]), np.ptp(noise.log_snr[:-1]) / 4)


@pytest.mark.parametrize(
    ("schedule", "top"),
    [
        (VP, None),
        (schedules.edm(), 80.0),
        (schedules.rectified_flow(), 80.0),
        (schedules.ve(0.01, 50.0), 50.0),
    ],
)
def test_karras_levels_end_where_the_schedule_does(schedule, top):
    levels = schedule(grids.make(schedule, 9, "karras"))
    found, least = levels.sigma / levels.alpha, schedule(schedule.t_min)
    top = 80.0 if top is None else top
    expected = np.linspace(top ** (1 / 7), (least.sigma / least.alpha) ** (1 / 7), 9) ** 7
    np.testing.assert_allclose(found, np.append(expected, 0), rtol=1e-6)


def test_the_karras_grid_of_a_schedule_with_noise_of_its_own_ends_there():
    levels = VDM(grids.make(VDM, 9, "karras"))
    assert len(levels.t) == 10 and levels.t[-1] == 0
    np.testing.assert_allclose(levels.log_snr[[0, -1]], [-8.0, 10.0], atol=1e-9)


@pytest.mark.parametrize("kind", ["uniform", "quadratic", "log_snr", "karras"])
def test_one_step_goes_from_noise_to_data(kind):
    assert grids.make(CHAIN, 1, kind)[-1] == 0 and grids.make(VDM, 1, kind).tolist() == [1.0, 0.0]
    assert grids.make(schedules.edm(), 1, kind).tolist() == [80.0, 0.0]


@pytest.mark.parametrize(
    ("schedule", "steps", "kind", "message"),
    [
        (VP, 0, "uniform", r"^steps must be an integer of at least 1 .*, got 0$"),
        (VP, 2.5, "karras", r"grids.make: steps must be an integer, a string or a sequence, got 2.5$"),
        (CHAIN, "ddim50", "uniform", r"^steps must be an integer of at least 1 .*, got 'ddim50'$"),
        (CHAIN, 1001, "uniform", "^steps must be at most 1000, the steps of the chain; got 1001$"),
        (VP, 5, "karas", r"^grid must be one of uniform, .*, spaced; got 'karas'$"),
        (VP, "ddim5", "spaced", "^grid='spaced' respaces a chain, and the schedule is continuous$"),
        (schedules.rectified_flow(), 5, "log_snr", "finite ends"),
    ],
)
def test_a_grid_that_cannot_be_made_is_named(schedule, steps, kind, message):
    with pytest.raises(ValueError, match=message):
        grids.make(schedule, steps, kind)
