"""DPM-Solver with adaptive steps: k-diffusion's numbers, the tolerance, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import exact, samplers
from diffjax.process import prediction, schedules
from diffjax.process.level import expand
from diffjax.samplers.adaptive.dpm_adaptive import _ancestral

KEY = jax.random.key(0)
MIXTURE = exact.gaussian_mixture([0.3, 0.7], [[-1.0], [0.8]], [0.1, 0.2])


def _two_modes(mu, s2):
    """k-diffusion's exact denoiser of two equal Gaussians at +mu and -mu."""

    def denoise(x, level, cond):
        v = expand(level.sigma, x) ** 2
        total = s2 + v
        return prediction.from_x0((s2 * x + v * mu * jnp.tanh(x * mu / total)) / total, x, level)

    return denoise


def test_k_diffusion(x64):
    golden, hyper = reference.load("kdiff_dpm_adaptive")
    x, made = samplers.dpm_adaptive(
        KEY, _two_modes(jnp.asarray(golden["mu"]), hyper["s2"]), schedules.edm(), norm="batch", info=True,
        x_init=jnp.asarray(golden["x_init"]), times=(hyper["sigma_max"], hyper["sigma_min"]),
        **hyper["adaptive"],
    )  # fmt: skip
    np.testing.assert_allclose(x, golden["dpm_adaptive__out"], rtol=1e-6, atol=1e-9)
    assert (made == golden["dpm_adaptive__info"]).all()


@pytest.mark.parametrize("row", range(12))
def test_ancestral_steps_of_k_diffusion(x64, row):
    """Where the ODE's step ends and how much noise follows, for eta from 0 to 1; never beyond the end."""
    golden, _ = reference.load("kdiff_schedules")
    above, below, eta, down, up = (
        jnp.asarray(golden[f"ancestral_{name}"][row : row + 1])
        for name in ("from", "to", "eta", "down", "up")
    )
    ended, noise = _ancestral(-jnp.log(above), -jnp.log(below), jnp.full(1, 40.0), float(eta[0]))
    np.testing.assert_allclose(noise, up, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(jnp.exp(-ended), jnp.maximum(down, np.exp(-40)), rtol=1e-9)
    stopped, noise = _ancestral(-jnp.log(above), -jnp.log(below), -jnp.log(below), float(eta[0]))
    np.testing.assert_allclose(stopped, -jnp.log(below), rtol=1e-12)
    np.testing.assert_allclose(noise, 0, atol=1e-7 * float(below[0]))


def _fine(schedule, x, end):
    times = schedule.inv_sigma(np.geomspace(*(_ratio(schedule, t) for t in (schedule.t_max, end)), 400))
    times[0], times[-1] = schedule.t_max, end
    return samplers.sample(KEY, MIXTURE.denoiser(), schedule, samplers.unipc(3), times, x_init=x)


def _ratio(schedule, t):
    level = schedule(np.float64(t))
    return level.sigma / level.alpha


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("schedule", [schedules.edm(), schedules.vp_linear()])
def test_the_error_follows_the_tolerance(x64, schedule, order):
    end = schedule.inv_sigma(0.02)
    x = schedule.prior_std * jnp.linspace(-2, 2, 16)[:, None]
    true, errors, calls = _fine(schedule, x, end), [], []
    for tolerance in (1e-2, 1e-4):
        found, made = samplers.dpm_adaptive(
            KEY, MIXTURE.denoiser(), schedule, x_init=x, times=(schedule.t_max, end), order=order, info=True,
            rtol=tolerance, atol=tolerance, norm="batch",
        )  # fmt: skip
        errors.append(float(jnp.sqrt(jnp.mean((found - true) ** 2))))
        calls.append(int(made[:, 1].max()))
        assert (made[:, 0] == made[:, 2] + made[:, 3]).all() and (made[:, 1] == order * made[:, 0]).all()
    assert errors[0] < 0.05 and errors[1] < 0.1 * errors[0], errors
    assert calls[0] < calls[1]


def test_a_sample_depends_on_itself_alone():
    run = lambda x, keys: samplers.dpm_adaptive(
        keys, MIXTURE.denoiser(), schedules.edm(), x_init=x, times=(80.0, 0.01), eta=1.0
    )
    x, keys = 80 * jax.random.normal(KEY, (8, 1)), jax.random.split(KEY, 8)
    np.testing.assert_allclose(run(x, keys)[2:5], run(x[2:5], keys[2:5]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_reaches_the_data(eta):
    x = samplers.dpm_adaptive(KEY, MIXTURE.denoiser(), schedules.edm(), shape=(4000, 1), rtol=0.01, eta=eta)
    share = float((x > 0).mean())  # of the mode at 0.8, and what the other's tail adds
    truth = float((MIXTURE.sample(jax.random.key(1), 200_000) > 0).mean())
    assert abs(share - truth) < 4 * np.sqrt(truth * (1 - truth) / 4000)
    np.testing.assert_allclose([x.mean(), (x**2).mean()], [0.26, 0.17 + 0.3 + 0.448], atol=0.06)


def test_too_few_steps_are_seen():
    x = samplers.dpm_adaptive(KEY, MIXTURE.denoiser(), schedules.edm(), shape=(4, 1), max_steps=3)
    assert jnp.isnan(x).all()


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        (schedules.linear_beta(10), {}, "needs a continuous schedule"),
        (schedules.edm(), {"order": 4}, "order must be one of 2, 3"),
        (schedules.edm(), {"norm": "all"}, "norm must be one of sample, batch"),
        (schedules.edm(), {"rtol": 0.0}, "rtol must be positive and finite, got 0.0"),
        (schedules.edm(), {"order": 2.0}, "order must be one of 2, 3"),
        (schedules.edm(), {"h_init": np.inf}, "h_init must be a finite number, got inf"),
        (schedules.edm(), {"eta": np.inf}, "eta must be a finite number, got inf"),
        (schedules.edm(), {"s_noise": -1.0}, "s_noise must be finite and at least 0, got -1.0"),
        (schedules.edm(), {"pcoeff": np.nan}, "pcoeff must be a finite number, got nan"),
        (schedules.edm(), {"accept_safety": 1.0}, r"accept_safety must be in \(0, 1\), got 1.0"),
        (schedules.edm(), {"max_steps": 2.5}, "max_steps must be an integer, got 2.5"),
        (schedules.edm(), {"shape": None, "x_init": np.ones((0, 1))}, "at least one sample"),
        (
            schedules.edm(),
            {"times": (0.01, 80.0), "x_init": jnp.ones((2, 1)), "shape": None},
            "must decrease",
        ),
        (schedules.rectified_flow(), {}, "from where alpha > 0"),
    ],
)
def test_what_it_cannot_do_it_says(schedule, options, message):
    with pytest.raises(ValueError, match=message):
        samplers.dpm_adaptive(KEY, MIXTURE.denoiser(), schedule, **({"shape": (2, 1)} | options))


@pytest.mark.parametrize("tolerance", [{}, {"rtol": 0.01, "atol": 0.001}])
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("v", [1.0, 0.01])
def test_steps_are_as_good_as_their_tolerance_says(v, order, tolerance):
    """On N(0, v) the flow is a scaling: one sample of any length tells the variance without chance.

    Measured against the noise at the start, a step from noise to data is accepted: 7.8 times the variance.
    """

    def denoise(x, level, cond=None):
        scale = (level.alpha * v / (level.alpha**2 * v + level.sigma**2)).reshape(-1, 1)
        return prediction.from_x0(scale * x, x, level)

    schedule = schedules.edm()
    x = jnp.sqrt(v + 80.0**2) * jnp.array([[0.5, -1.0, 1.5]])
    end, made = samplers.dpm_adaptive(KEY, denoise, schedule, x_init=x, order=order, info=True, **tolerance)
    gain = float(end[0, 0] / x[0, 0])
    np.testing.assert_allclose(end, gain * x, rtol=1e-4)
    ratio = gain**2 * (v + 80.0**2) / v
    assert abs(ratio - 1) < (0.1 if not tolerance else 0.03), (ratio, made)
    assert made[0, 1] < 80
