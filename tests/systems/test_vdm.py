"""The VDM system: the bound as its loss, a schedule trained with the network, samples of what it learned."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems import tools
from systems.test_null_guidance import Told

from diffjax import commands, exact, objectives, samplers, systems
from diffjax.process import prediction, schedules
from diffjax.process.level import NoiseLevel
from diffjax.systems import read, requests, vdm

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

    def init(self, key, x, t, cond=None):
        return {"params": {"bend": jnp.zeros(())}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(-t)), jnp.sqrt(jax.nn.sigmoid(t))
        return self.mixture.predict(x, NoiseLevel(t, alpha, sigma, -t)).eps + variables["params"]["bend"]


def _system(mixture, clock, solver=None, **options):
    sampler = tools.sampler(None, solver or samplers.ddim(), TIMES)
    reading = prediction.reading("eps", ask=lambda level: -level.log_snr)
    options = {"values": None, "gives": "points"} | options
    return vdm.vdm(Exact(mixture), clock, sampler, shape=(2,), reading=reading, **options)


def _gradients(mixture, clock, x, bend=0.0, **options):
    system = _system(mixture, clock, **options)
    v = tools.variables(system, network={"bend": jnp.asarray(bend)})
    return tools.gradients(system, v, jax.random.key(1), {"x": x})


def _bent(system, **params):
    """Variables whose schedule is far from the straight line it starts as."""
    v = tools.variables(system, **params)
    bent = v.params["schedule"] | {"w3": jnp.full(16, 2.0), "w2": jnp.full(16, 4.0)}
    return v._replace(params=v.params | {"schedule": bent})


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
    v = _bent(system)
    run = jax.jit(lambda p: system.updates[0].gradients(v._replace(params=p), jax.random.key(1), {"x": x}, 0))

    def loss(w2):
        bent = v.params["schedule"] | {"w2": jnp.full(16, w2)}
        return float(run(v.params | {"schedule": bent})[2]["loss"])

    slope = (loss(4.2) - loss(3.8)) / 0.4
    np.testing.assert_allclose(run(v.params)[0]["schedule"]["w2"].sum(), slope, rtol=3e-2)


@pytest.mark.slow
def test_what_is_between_the_ends_learns_to_lower_the_variance():
    """The gradient is the plain one of the mean through the ends, that of the mean of loss^2 between them.

    Both against finite differences of the losses of single samples, at the same draws.
    """
    x = jnp.asarray(MIXTURE.sample(jax.random.key(5), 64))
    system, key, h = _system(MIXTURE, TRAINED), jax.random.key(1), 0.02
    v = _bent(system, network={"bend": jnp.asarray(0.7)})  # costs some bits
    found = tools.gradients(system, v, key, {"x": x})[0]["schedule"]
    assert set(found) == {"w", "b", "w2", "b2", "w3"}
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in found.values())

    key_t, key_eps, key_0, _ = jax.random.split(key, 4)
    t = objectives.low_discrepancy(TRAINED.start)(key_t, len(x))
    eps, eps_0 = (jax.random.normal(k, x.shape) for k in (key_eps, key_0))

    def losses(of_ends, between):
        """`[B]`, with w3 of the ends and w3 of what is between them apart."""
        ends, inner = (v.params["schedule"] | {"w3": jnp.full(16, w3)} for w3 in (of_ends, between))
        schedule = TRAINED.schedule(ends)
        return objectives.variational(
            system.denoiser(v), x, eps, TRAINED.level(ends, TRAINED.between(inner, t), t), eps_0=eps_0,
            level_0=schedule(jnp.float32(0)), level_1=schedule(jnp.float32(1)), values=None,
        )[0]  # fmt: skip

    through_the_ends = float((losses(2 + h, 2.0) - losses(2 - h, 2.0)).mean()) / (2 * h)
    slopes = (losses(2.0, 2 + h) - losses(2.0, 2 - h)) / (2 * h)
    of_the_square = float((2 * losses(2.0, 2.0) * slopes).mean())
    np.testing.assert_allclose(found["w3"].sum(), through_the_ends + of_the_square, rtol=3e-2)
    plain = through_the_ends + float(slopes.mean())  # what it would be without
    assert abs(plain - through_the_ends - of_the_square) > 0.2 * abs(of_the_square)


@pytest.mark.parametrize("solver", [samplers.ddim(), samplers.ddim(eta=0.5), samplers.ancestral()])
def test_trained_schedules_sample_the_mixture(solver):
    """Parameters are traced, as in the commands; a bent schedule is sampled as well as the straight one."""
    system = _system(MIXTURE, TRAINED, solver)
    x = tools.sample(system, _bent(system), jax.random.key(2), 2000)
    right = x[:, 0] > 0
    assert abs(right.mean() - 0.7) < 0.05
    np.testing.assert_allclose(x[right].mean(0), CENTRES[1], atol=0.03)
    np.testing.assert_allclose(x[right].std(0), STD, atol=0.025)


def test_a_trained_schedule_at_its_start_samples_as_the_fixed_one():
    draws = []
    for clock in (FIXED, vdm.trained(10.0, -8.0, width=0)):
        system = _system(MIXTURE, clock)
        draws.append(tools.sample(system, tools.variables(system), jax.random.key(2), 50))
    np.testing.assert_allclose(draws[0], draws[1], atol=1e-3)


def _labelled(dropout, clock, **options):
    """A system whose network says x_0 = (2, class), of no class (2, 4)."""
    options = {"solver": "ddim", "steps": 20, **options}
    sampler = read.sampler(ConfigDict({"sampler": options, "objective": {"kind": "x0"}}), clock.start)
    table = {"conditions": {"embed": {"label": {"embedding": jnp.arange(5.0 if dropout else 4.0)[:, None]}}}}
    asked = requests.labels(4, 1, dropout)._replace(init=lambda key: table)
    return vdm.vdm(
        Told(), clock, sampler, shape=(2,), values=None, gives="points", requests=asked,
        reading=prediction.reading("x0", ask=lambda level: -level.log_snr),
    )  # fmt: skip


@pytest.mark.parametrize("trainable", [False, True])
def test_samples_are_guided_away_from_the_null(trainable):
    clock = vdm.trained(20.0, -8.0, width=4) if trainable else vdm.fixed(schedules.log_snr_linear(20.0, -8.0))
    label = np.array([0, 1, 2, 3])
    late = {"name": "levels", "at": ((1.0, 1.0), (2.0, 0.0))}  # log SNR, 20 - 28 t, is above -1.4 in 15 steps
    for weight, calls in ((1.0, 40), (late, 35)):
        system = _labelled(0.1, clock, guidance_weight=weight)
        x = tools.sample(system, tools.variables(system), jax.random.key(0), 4, {"label": label})
        np.testing.assert_allclose(x[:, 1], 4 + 2.0 * (label - 4), atol=1e-3)
        assert system.passes[0].calls == {"network": calls}


def test_training_hides_what_is_asked_of_some_rows():
    """Of hidden labels the loss is that of no class, whatever they are; told ones matter."""
    clock = vdm.fixed(schedules.log_snr_linear(20.0, -8.0))
    batch = lambda label: {"x": jnp.ones((6, 2)), "label": jnp.full(6, label)}
    for dropout, apart in ((1.0, False), (0.0, True)):
        system = _labelled(dropout, clock)
        v = tools.variables(system)
        losses = [
            float(tools.gradients(system, v, jax.random.key(1), batch(label))[2]["loss"]) for label in (0, 3)
        ]
        assert (losses[0] != losses[1]) == apart


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
        ("sampler", {"solver": "ddim", "steps": 5, "guidance_weight": 1.0}, "guidance_weight needs a class"),
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
    assert jax.eval_shape(system.init, jax.random.key(0), system.example, {})[0]["schedule"] == {}
    assert system.passes[0].calls == {"network": 5}


@pytest.mark.parametrize("schedule", [schedules.vp_cosine(), schedules.rectified_flow()])
def test_a_schedule_of_infinite_log_snr_is_refused(schedule):
    with pytest.raises(ValueError, match=r"schedule must have a finite log_snr at both ends.*and -inf$"):
        _system(MIXTURE, vdm.fixed(schedule))
