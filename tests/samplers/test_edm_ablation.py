"""euler and heun against EDM's general sampler: schedules and scalings in their own time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

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
