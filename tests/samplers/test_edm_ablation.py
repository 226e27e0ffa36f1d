"""euler and heun against EDM's general sampler: schedules and scalings in their own time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from scipy import optimize

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.process.level import NoiseLevel, namespace

KEY = jax.random.key(0)


def _square_root():
    """Variance exploding in EDM's clock: sigma = sqrt(t) (Karras et al. 2022, table 1)."""

    def level(t):
        xp = namespace(t)
        with np.errstate(divide="ignore"):
            rate = 0.5 / xp.sqrt(t)
        return NoiseLevel(t, xp.ones_like(t), xp.sqrt(t), -xp.log(t), xp.zeros_like(t), rate)

    return schedules.Continuous(level, lambda ratio: ratio**2, 1e-4, 1e4, prior_std=100.0)


def _vp(sigma_min, sigma_max, epsilon):
    """The two rates for which sigma / alpha is sigma_max at t = 1 and sigma_min at t = epsilon."""
    ends = np.log1p(np.array([sigma_min, sigma_max]) ** 2)
    slope = 2 * (ends[0] / epsilon - ends[1]) / (epsilon - 1)
    beta_min = ends[1] - 0.5 * slope
    return schedules.vp_linear(beta_min, beta_min + slope)


@pytest.mark.parametrize("case", range(8))
def test_ablation(x64, case):
    golden, hyper = reference.load("edm_ablation_sampler")
    name, kind, s2, options = hyper["cases"][case]
    sigma = golden[f"{name}__sigma_steps"]
    make = {
        "vp": lambda: _vp(sigma[-1], sigma[0], hyper["defaults"]["epsilon_s"]),
        "ve": _square_root,
        "linear": lambda: schedules.edm(0.002, 100.0),
    }
    schedule = make[options["schedule"]]()
    times = np.append(schedule.inv_sigma(sigma), 0.0)
    mu = jnp.asarray(golden[f"{kind}__mu"])

    def denoise(x, level, cond):
        y, v = x / level.alpha, (level.sigma / level.alpha) ** 2
        return prediction.from_x0(mu + s2 / (s2 + v) * (y - mu), x, level)

    solver = {"euler": samplers.euler(), "heun": samplers.heun()}[options["solver"]]
    first = schedule(times[0])
    x = first.sigma * jnp.asarray(golden["latents"])
    ours = samplers.sample(KEY, denoise, schedule, solver, times, x_init=x)
    np.testing.assert_allclose(ours, golden[f"{name}__out"], rtol=1e-7, atol=1e-9)


def _general(x, x0, grid, draws, churn, order):
    """Karras et al. 2022, eq. 4 with the churn of Alg. 2 and the steps of Alg. 3, in numpy.

    In the clock of a VP schedule: s(t) = e^{-B/2}, sigma(t)^2 = e^B - 1, with dx / dt = (sigma' / sigma +
    s' / s) x - sigma' s / sigma D(x / s; sigma). The churned time is that of the churned sigma, by bisection.
    """
    times, total, beta = grid
    s, sigma = lambda t: np.exp(-total(t) / 2), lambda t: np.sqrt(np.expm1(total(t)))

    def slope(x, t):
        rate = 0.5 * beta(t) * np.exp(total(t)) / sigma(t)  # of sigma
        return (rate / sigma(t) - beta(t) / 2) * x - rate * s(t) / sigma(t) * x0(x / s(t), sigma(t))

    def churned(t):
        goal = (1 + min(churn / (len(times) - 1), np.sqrt(2) - 1)) * sigma(t)
        return optimize.brentq(lambda u: sigma(u) - goal, t, 2.0, xtol=1e-15, rtol=1e-14)

    for i, (t, lower) in enumerate(zip(times, times[1:])):
        up = churned(t)
        x = s(up) / s(t) * x + s(up) * np.sqrt(sigma(up) ** 2 - sigma(t) ** 2) * draws[i]
        h, first = lower - up, slope(x, up)
        second = slope(x + h * first, lower) if order == 2 and lower > 0 else first
        x = x + h * 0.5 * (first + second)
    return x


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("ends", [(0.1, 20.0), None])
def test_churn_from_the_noisiest_level_on(x64, ends, order):
    """The first churn leads beyond t_max, on VP and on VP of Karras et al., sigma from 0.002 to 80."""
    schedule = _vp(0.002, 80.0, 1e-3) if ends is None else schedules.vp_linear(*ends)
    b0, b1 = (float(schedule.sde(np.float64(t))[1]) for t in (0, 1))
    total, beta = lambda t: b0 * t + (b1 - b0) * t**2 / 2, lambda t: b0 + (b1 - b0) * t
    times = np.append(np.linspace(1, 1e-3, 12), 0.0)
    rng = np.random.default_rng(0)
    x, draws, s2 = rng.normal(size=(5, 2)), rng.normal(size=(12, 5, 2)), 0.3
    mu = np.array([0.8, -0.5])

    def x0(xp, y, sigma):
        v = s2 + sigma**2
        return (s2 * y + sigma**2 * mu * xp.tanh(y * mu / v)) / v

    def denoise(x, level, cond):
        return prediction.from_x0(x0(jnp, x / level.alpha, level.sigma / level.alpha), x, level)

    solver = (samplers.euler if order == 1 else samplers.heun)(s_churn=3.0)
    ours = samplers.sample(KEY, denoise, schedule, solver, times, x_init=jnp.asarray(x), noise=draws[:, None])
    theirs = _general(x, lambda y, sigma: x0(np, y, sigma), (times, total, beta), draws, 3.0, order)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("schedule", [schedules.ve(0.01, 50.0), schedules.vp_linear()])
@pytest.mark.parametrize(
    "make",
    [samplers.edm_heun, samplers.edm_euler, samplers.dpm_2, samplers.euler]
    + [lambda a=a, **options: samplers.heun(a, **options) for a in (0.5, 2 / 3, 1.0)],
)
def test_every_churned_solver_starts_at_the_noisiest_level(schedule, make):
    """The first churn leads beyond t_max, where every level between is defined: t_max is not refused."""
    times = np.append(schedule.inv_sigma(np.geomspace(40, 0.02, 20)), 0)
    times[0] = schedule.t_max
    rows = samplers.plan(schedule, make(s_churn=8.0), times).steps
    top = schedule(np.float64(schedule.t_max))
    ratio = rows.level.sigma / rows.level.alpha
    np.testing.assert_allclose(ratio[0], 1.4 * top.sigma / top.alpha, rtol=1e-9)  # 1 + 8 / 20
    for between in ("second", "middle"):
        level = getattr(rows, between, None)
        if level is not None:
            assert (level.sigma / level.alpha < ratio).all()
            assert (level.sigma / level.alpha)[:-1].min() > 0


@pytest.mark.parametrize("solver", [samplers.euler(), samplers.heun()])
@pytest.mark.parametrize("schedule", [schedules.vp_linear(), schedules.sub_vp()])
def test_what_the_last_step_in_the_schedules_own_time_leaves(x64, solver, schedule):
    """Data at 0: x = sigma eps goes along d sigma / dt to (sigma - t d sigma / dt) eps at t = 0."""
    t = np.float64(0.02)
    level = schedule(t)
    denoise = lambda x, level, cond=None: prediction.from_x0(0 * x, x, level)
    x = samplers.sample(KEY, denoise, schedule, solver, [t, 0.0], x_init=level.sigma * jnp.ones((1, 1)))
    np.testing.assert_allclose(x[0, 0], level.sigma - t * level.d_sigma, rtol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (samplers.euler, samplers.ddim),
        (samplers.heun, samplers.edm_heun),
        (samplers.euler, samplers.edm_euler),
    ],
)
def test_on_ve_steps_are_in_sigma(x64, ours, theirs):
    """DDIM and EDM's Heun step in sigma / alpha, here sigma, and arrive at the predicted x_0."""
    schedule = schedules.ve(0.01, 50.0)
    times, x = np.linspace(1, 0, 8), 50 * jnp.linspace(-1.5, 2, 6)[:, None]
    denoise = lambda x, level, cond: prediction.from_x0(jnp.tanh(x / (1 + level.sigma)), x, level)
    walk = lambda solver: samplers.sample(KEY, denoise, schedule, solver, times, x_init=x)
    np.testing.assert_allclose(walk(ours()), walk(theirs()), rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 1.0])
def test_the_churned_law_of_a_gaussian_on_ve(alpha):
    """Steps in sigma are exact where all is noise, so that the churn's long steps keep the law to 5 %.

    Each step is linear: its variance is a recursion in closed form. Steps in log sigma are 11 % off.
    """
    schedule, v = schedules.ve(0.01, 50.0), 0.3
    times = np.append(schedule.inv_sigma(np.geomspace(49.9, 0.02, 40)), 0)
    rows = samplers.plan(schedule, samplers.heun(alpha, s_churn=40.0), times).steps
    slope = lambda level, i: level.d_sigma[i] * level.sigma[i] / (v + level.sigma[i] ** 2)
    variance = v + schedule(times[0]).sigma ** 2
    for i in range(len(times) - 2):  # to sigma = 0.02
        variance += rows.churn[i] ** 2
        first = rows.dt[i] * slope(rows.level, i)
        second = rows.dt_second[i] * (1 + alpha * first) * slope(rows.second, i)
        variance *= (1 + (1 - 0.5 / alpha) * first + 0.5 / alpha * second) ** 2
    assert abs(variance / (v + 0.02**2) - 1) < 0.05
