"""The VDM system: the bound as its loss, a schedule trained with the network, samples of what it learned."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import commands, exact, samplers, systems
from diffjax.process import schedules
from diffjax.process.level import NoiseLevel
from diffjax.systems import assemble, vdm

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
CENTRES, STD = np.array([[-0.6, 0.2], [0.6, 0.4]]), 0.2
MIXTURE = exact.gaussian_mixture([0.3, 0.7], CENTRES, [STD**2, STD**2])
POINT = exact.gaussian_mixture([1.0], [[0.5, -0.5]], [1e-8])
FIXED = vdm.fixed(schedules.log_snr_linear(10.0, -8.0))
TRAINED = vdm.trained(10.0, -8.0, width=16)
TIMES = np.linspace(1, 0, 61)


class Exact:
    """A stand-in module with the noise of a mixture, from the gamma it is told; `bend` is its parameter."""

    def __init__(self, mixture):
        self.mixture = mixture

    def init(self, key, x, t, cond):
        return {"bend": jnp.zeros(())}

    def apply(self, params, x, t, cond=None, train=False, rngs=None):
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(-t)), jnp.sqrt(jax.nn.sigmoid(t))
        return self.mixture.predict(x, NoiseLevel(t, alpha, sigma, -t)).eps + params["bend"]


def _system(mixture, clock, solver=None, **options):
    return vdm.vdm(
        Exact(mixture), clock, solver or samplers.ddim(), TIMES, shape=(2,), **{"values": None} | options
    )


def _gradients(mixture, clock, x, bend=0.0, **options):
    system = _system(mixture, clock, **options)
    params, extra, frozen = system.init(jax.random.key(0))
    params["network"]["bend"] = jnp.asarray(bend)
    return jax.jit(system.gradients)(params, extra, frozen, jax.random.key(1), {"x": x}, 0)


@pytest.mark.parametrize("clock", [FIXED, TRAINED], ids=["fixed", "trained"])
def test_a_bend_of_the_noise_costs_half_its_square_times_the_range_of_gamma(clock):
    """Data at one point: the exact noise costs nothing, b in each entry costs b^2 / 2 int gamma' dt."""
    x, bend = jnp.tile(jnp.array([0.5, -0.5]), (4000, 1)), 0.3
    bits = lambda bend: float(_gradients(POINT, clock, x, bend)[2]["loss"])
    first, last = (clock.schedule(clock.init(jax.random.split(jax.random.key(0))[1]))(t) for t in (0.0, 1.0))
    expected = 0.5 * bend**2 * float(first.log_snr - last.log_snr) / np.log(2)
    np.testing.assert_allclose(bits(bend) - bits(0.0), expected, rtol=2e-2)


def test_the_ends_have_the_gradient_of_the_bound():
    """A bend b costs b^2 (gamma(1) - gamma(0)) / 2, and w is that range; the prior's part is below 1e-4."""
    x = jnp.tile(jnp.array([0.5, -0.5]), (64, 1))
    grads = _gradients(POINT, vdm.trained(10.0, -8.0, width=0), x, bend=0.3)[0]["schedule"]
    np.testing.assert_allclose(grads["w"], 0.5 * 0.3**2 / np.log(2), rtol=1e-2)


@pytest.mark.parametrize("clock", [FIXED, TRAINED], ids=["fixed", "trained"])
def test_the_loss_of_few_steps_is_their_bound(clock):
    """Data at one point and a bend b in each entry: b^2 / 2 sum_n (e^{gamma_n - gamma_{n-1}} - 1)."""
    x, bend, steps = jnp.tile(jnp.array([0.5, -0.5]), (4000, 1)), 0.3, 6
    bits = lambda bend: float(_gradients(POINT, clock, x, bend, num_steps=steps)[2]["loss"])
    schedule = clock.schedule(clock.init(jax.random.split(jax.random.key(0))[1]))
    gamma = -np.asarray(schedule(jnp.linspace(0, 1, steps + 1)).log_snr, np.float64)
    expected = 0.5 * bend**2 * np.expm1(np.diff(gamma)).sum() / np.log(2)
    np.testing.assert_allclose(bits(bend) - bits(0.0), expected, rtol=3e-2)


def test_a_schedule_in_steps_is_trained_by_the_bound_itself():
    """Against finite differences of the loss, in a parameter between the ends."""
    x = jnp.asarray(MIXTURE.sample(jax.random.key(5), 256))
    system = _system(MIXTURE, TRAINED, num_steps=5)
    params, extra, frozen = system.init(jax.random.key(0))
    params["schedule"] |= {"w3": jnp.full(16, 2.0), "w2": jnp.full(16, 4.0)}
    run = jax.jit(lambda p: system.gradients(p, extra, frozen, jax.random.key(1), {"x": x}, 0))

    def loss(w2):
        return float(run(params | {"schedule": params["schedule"] | {"w2": jnp.full(16, w2)}})[2]["loss"])

    slope = (loss(4.2) - loss(3.8)) / 0.4
    np.testing.assert_allclose(run(params)[0]["schedule"]["w2"].sum(), slope, rtol=3e-2)


def test_what_is_between_the_ends_learns_to_lower_the_variance():
    x = jnp.asarray(MIXTURE.sample(jax.random.key(5), 256))
    grads = _gradients(MIXTURE, TRAINED, x)[0]["schedule"]
    assert set(grads) == {"w", "b", "w2", "b2", "w3"}
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in grads.values())


@pytest.mark.parametrize("solver", [samplers.ddim(), samplers.ddim(eta=0.5), samplers.ancestral()])
def test_trained_schedules_sample_the_mixture(solver):
    """Parameters are traced, as in the commands; a bent schedule is sampled as well as the straight one."""
    system = _system(MIXTURE, TRAINED, solver)
    params, extra, frozen = system.init(jax.random.key(0))
    params["schedule"]["w3"] = jnp.full(16, 2.0)
    params["schedule"]["w2"] = jnp.full(16, 4.0)
    n = 2000
    x = np.asarray(
        jax.jit(system.sample, static_argnums=5)(params, extra, frozen, jax.random.key(2), None, n)
    )
    right = x[:, 0] > 0
    assert abs(right.mean() - 0.7) < 0.05
    np.testing.assert_allclose(x[right].mean(0), CENTRES[1], atol=0.03)
    np.testing.assert_allclose(x[right].std(0), STD, atol=0.025)


def test_a_trained_schedule_at_its_start_samples_as_the_fixed_one():
    draws = []
    for clock in (FIXED, vdm.trained(10.0, -8.0, width=0)):
        system = _system(MIXTURE, clock)
        sample = jax.jit(system.sample, static_argnums=5)
        draws.append(sample(*system.init(jax.random.key(0)), jax.random.key(2), None, 50))
    np.testing.assert_allclose(draws[0], draws[1], atol=1e-3)


def test_solvers_that_plan_on_the_host_are_refused_for_trained_schedules():
    with pytest.raises(ValueError, match="a trained schedule is sampled by ddim or ancestral"):
        _system(MIXTURE, TRAINED, samplers.dpm_solver_pp())
    _system(MIXTURE, FIXED, samplers.dpm_solver_pp())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schedule", {"name": "learned", "widht": 3}, r"schedule\.widht is not an option of trained"),
        (
            "schedule",
            {"name": "linear_beta", "num_steps": 10},
            "needs a continuous schedule, and 'linear_beta'",
        ),
        ("sampler", {"solver": "heun", "steps": 5}, "a trained schedule is sampled by ddim or ancestral"),
        ("sampler", {"solver": "ddim", "steps": 5, "guidance_weight": 1.0}, "is not for system 'vdm'"),
        ("system", "ddpm", "schedule.name='learned' is trained with the network: it needs system 'vdm'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(field, value, message):
    config = commands.config_module(CONFIGS / "toys/vdm.py").get_config()
    config[field] = value
    with pytest.raises(ValueError, match=message):
        systems.build(config)


def test_steps_are_counted():
    config = commands.config_module(CONFIGS / "toys/vdm.py").get_config()
    config.objective.num_steps = 0
    with pytest.raises(ValueError, match="num_steps must be at least 1, or None for continuous time; got 0"):
        systems.build(config)


def test_a_fixed_schedule_can_be_named():
    config = commands.config_module(CONFIGS / "toys/vdm.py").get_config()
    config.schedule = {"name": "log_snr_linear", "log_snr_max": 10.0}
    config.sampler = {"solver": "dpm_solver_pp", "steps": 5, "grid": "log_snr"}
    system = systems.build(config)
    assert jax.eval_shape(system.init, jax.random.key(0))[0]["schedule"] == {}
    assert assemble.network_calls(config) == 5


@pytest.mark.parametrize("schedule", [schedules.vp_cosine(), schedules.rectified_flow()])
def test_a_schedule_of_infinite_log_snr_is_refused(schedule):
    with pytest.raises(ValueError, match=r"schedule must have a finite log_snr at both ends.*and -inf$"):
        _system(MIXTURE, vdm.fixed(schedule))
