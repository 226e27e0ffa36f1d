"""Systems on continuous schedules: exact networks cost nothing and sample the mixture."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems import tools

from diffjax import commands, exact, systems
from diffjax.process import prediction
from diffjax.systems import options, read

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
CENTRES, STD = np.array([[-0.6, 0.2], [0.6, 0.4]]), 0.2
MIXTURE = exact.gaussian_mixture([0.3, 0.7], CENTRES, [STD**2, STD**2])
TOYS = ["vp", "sub_vp", "ve", "edm", "flow"]
OTHERS = {
    "vp_preconditioning": ({"name": "vp_linear"}, {"preconditioning": {"name": "vp", "num_steps": 1000}}),
    "iddpm_preconditioning": (
        {"name": "cosine_beta", "num_steps": 200, "max_beta": 0.9},
        {"preconditioning": "iddpm"},
    ),
    "edm_on_vp": ({"name": "vp_linear"}, {"preconditioning": {"name": "edm", "sigma_data": 0.6}}),
    "likelihood": ({"name": "vp_linear"}, {"kind": "score", "weighting": "likelihood"}),
    "importance": ({"name": "vp_linear"}, {"kind": "eps", "times": "uniform_log_snr"}),
    "shifted": ({"name": "rectified_flow", "shift": 2.0}, {"kind": "velocity", "times": "uniform"}),
}


def _config(name):
    """A shipped config, or one of OTHERS on another's sampler."""
    if name in TOYS:
        return commands.config_module(CONFIGS / f"toys/{name}.py").get_config()
    config = commands.config_module(CONFIGS / "toys/edm.py").get_config()
    config.schedule, config.objective = OTHERS[name]
    config.sampler = {"solver": "ddim", "steps": 200, "grid": "uniform"}  # few lose variance near data
    return config


class Exact:
    """A stand-in module with the exact answer of a mixture at the time, or c_noise, it is told."""

    def __init__(self, config, mixture):
        self.mixture, self.schedule = mixture, read.schedule(config)
        self.kind = config.objective.get("kind")
        name, given = options.named(config.objective.get("preconditioning"), "objective.preconditioning")
        of = {"vp": (self.schedule,), "iddpm": (self.schedule,)}.get(name, ())
        self.scales = name and read._PRECONDITIONINGS[name](*of, **given)
        self.time = {  # c_noise -> t
            None: lambda t: t,
            "edm": lambda c: self.schedule.inv_sigma(jnp.exp(4 * c)),
            "ve": lambda c: self.schedule.inv_sigma(2 * jnp.exp(c)),
            "vp": lambda c: c / 999,
            "iddpm": lambda c: c + 1,
        }[name]

    def init(self, key, x, t, cond=None):
        return {"params": {"bend": jnp.zeros(())}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        params = variables["params"]
        level = self.schedule(jnp.maximum(self.time(t), 0))
        if self.scales is None:
            found = self.mixture.predict(x, level)
            return prediction.target(self.kind, found.x0, found.eps, level) + params["bend"]
        scales = self.scales(level)
        y = x / scales.c_in[:, None]
        x0 = self.mixture.predict(level.alpha[:, None] * y, level).x0
        return (x0 - scales.c_skip[:, None] * y) / scales.c_out[:, None] + params["bend"]


def _build(name, mixture, monkeypatch):
    config = _config(name)
    monkeypatch.setattr(read, "network", lambda config: Exact(config, mixture))
    return systems.build(config)


@pytest.mark.parametrize("name", [*TOYS, *OTHERS])
def test_an_exact_network_has_no_loss_on_one_point_and_a_bend_costs_its_square(name, monkeypatch):
    """Each loss is the squared error of the network's own target, but for a weighting (likelihood)."""
    point = exact.gaussian_mixture([1.0], [[0.5, -0.5]], [0.0])
    system = _build(name, point, monkeypatch)
    batch = {"x": jnp.tile(jnp.array([0.5, -0.5]), (500, 1))}
    gradients = jax.jit(system.updates[0].gradients)
    at = lambda bend: tools.variables(system, network={"bend": bend})
    loss = lambda bend: gradients(at(bend), jax.random.key(1), batch, 0)[2]["loss"]
    plain = loss(jnp.asarray(0.0))
    assert plain < 2e-5  # float32: a target is divided by sigma
    if name != "likelihood":
        np.testing.assert_allclose(loss(jnp.asarray(0.3)), 0.09, rtol=2e-2)


def test_likelihood_weighting_is_the_rate_of_the_sde(monkeypatch):
    """A bend b of the score costs b^2 E[g^2], and g^2 = beta(t) has the mean 10.05 over [0, 1]."""
    point = exact.gaussian_mixture([1.0], [[0.5, -0.5]], [0.0])
    system = _build("likelihood", point, monkeypatch)
    batch = {"x": jnp.tile(jnp.array([0.5, -0.5]), (4000, 1))}
    v = tools.variables(system, network={"bend": jnp.asarray(1.0)})
    _, _, metrics = tools.gradients(system, v, jax.random.key(1), batch)
    assert abs(metrics["loss"] - 10.05) < 4 * 19.9 / np.sqrt(12 * 4000)


@pytest.mark.parametrize("name", [*TOYS, "vp_preconditioning", "iddpm_preconditioning", "shifted"])
def test_samples_of_an_exact_network_are_of_the_mixture(name, monkeypatch):
    system = _build(name, MIXTURE, monkeypatch)
    x = tools.sample(system, tools.variables(system), jax.random.key(2), 1500)
    right = x[:, 0] > 0
    assert abs(right.mean() - 0.7) < 0.05  # four standard errors
    np.testing.assert_allclose(x[right].mean(0), CENTRES[1], atol=0.03)
    np.testing.assert_allclose(x[right].std(0), STD, atol=0.025)


@pytest.mark.parametrize("name", TOYS)
def test_gradients_of_a_real_network_are_finite(name):
    config = _config(name)
    config.model.width, config.model.depth = 8, 1
    system = systems.build(config)
    batch = {"x": jax.random.normal(jax.random.key(1), (16, 2))}
    grads, _, metrics = tools.gradients(system, tools.variables(system), jax.random.key(2), batch)
    assert np.isfinite(metrics["loss"])
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_calls_of_predictor_and_corrector():
    calls = lambda name: systems.build(_config(name)).passes[0].calls
    assert calls("vp") == {"network": 2 * 250} and calls("edm") == {"network": 35}


def test_a_shift_moves_the_schedule():
    made = read.schedule(ConfigDict({"schedule": {"name": "rectified_flow", "shift": 3.0}}))
    np.testing.assert_allclose(made(0.5).sigma, 0.75)  # 3 t / (1 + 2 t)


@pytest.mark.parametrize(
    ("schedule", "objective", "message"),
    [
        ("vp_linear", {"preconditioning": "edn"}, r"must be one of edm, vp, iddpm, ve, trigflow; got 'edn'"),
        ("vp_linear", {"preconditioning": {"name": "edm", "sigma": 1}}, r"preconditioning\.sigma is not"),
        ("vp_linear", {"preconditioning": "iddpm"}, "'iddpm' needs a chain, which 'vp_linear' is not"),
        (
            "geometric",
            {"preconditioning": "vp"},
            "'vp' needs a continuous schedule, which 'geometric' is not",
        ),
        ("vp_linear", {"preconditioning": "edm", "kind": "eps"}, "exclude each other"),
        ("vp_linear", {"preconditioning": "edm", "loss": "hybrid"}, "is not for a preconditioned network"),
        ("rectified_flow", {"preconditioning": "edm"}, "the network says nothing of x_0"),
        ("vp_linear", {"times": {"name": "log_normal"}}, "does not fit the schedule: log_normal is for edm"),
        ("vp_linear", {"kind": "mean"}, r"objective\.kind='mean' needs a chain"),
        ("rectified_flow", {"kind": "v", "times": "uniform_log_snr"}, "needs finite ends of log SNR"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(schedule, objective, message):
    config = _config("edm")
    config.schedule, config.objective = {"name": schedule}, objective
    if schedule == "geometric":
        config.schedule.update({"sigma_max": 1.0, "sigma_min": 0.1, "num_levels": 30})
    config.sampler = {"solver": "ddim", "steps": 5, "grid": "uniform"}
    with pytest.raises(ValueError, match=message):
        systems.build(config)
