"""The EBM system: where its chains start, what it carries, and what it refuses."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import tools

from diffjax import commands, models, systems
from diffjax.systems import ebm
from diffjax.systems.options import named

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
B, N = 8, 20
CHAIN = ebm.langevin(3, 0.01)
SAMPLER = ebm.Sampler(CHAIN, 3)


class Bowl:
    """A stand-in module with the energy depth |x|^2 / 2, as [B, 1]."""

    def init(self, key, x, t, cond=None):
        return {"params": {"depth": jnp.ones(())}}

    def apply(self, variables, x, t, cond=None):
        return variables["params"]["depth"] * (x**2).sum(1, keepdims=True) / 2


def _step(starts, x, chain=CHAIN, **options):
    system = ebm.ebm(Bowl(), starts, chain, SAMPLER, shape=(2,), gives="points", **options)
    v = tools.variables(system)
    return v.extra, *system.updates[0].gradients(v, jax.random.key(1), {"x": x}, 0)


def test_persistent_chains_live_in_extra():
    before, _, after, metrics = _step(ebm.persistent(N), jnp.zeros((B, 2)), start=(-3.0, 5.0))
    before, after = before["buffer"], after["buffer"]
    assert before.shape == after.shape == (N, 2) and before.dtype == after.dtype
    assert before.min() >= -3 and before.max() <= 5 and np.abs(before).max() > 1
    assert (np.asarray(before) != after).any(1).sum() == B
    assert {"loss", "energy", "energy_model"} <= metrics.keys() and metrics["energy"] == 0


@pytest.mark.parametrize(("starts", "far"), [(ebm.at_data(), False), (ebm.afresh(), True)])
def test_chains_from_the_data_or_from_noise(starts, far):
    """Data at 0, noise at 50..60: three small steps end near where they began; nothing is carried."""
    before, grads, after, metrics = _step(starts, jnp.zeros((B, 2)), start=(50.0, 60.0))
    assert before == after == {}
    assert (metrics["energy_model"] > 2000) == far
    # d loss / d depth = E[|x|^2 - |x~|^2] / 2, at depth 1 the energies themselves
    np.testing.assert_allclose(
        grads["network"]["depth"], metrics["energy"] - metrics["energy_model"], rtol=1e-5
    )


def test_data_noise_and_regularization():
    x = jnp.zeros((4000, 2))
    noisy = _step(ebm.at_data(), x, data_noise=0.5)[3]["energy"]  # |x|^2 / 2 has mean 0.25
    assert abs(noisy - 0.25) < 4 * 0.25 / np.sqrt(4000)
    plain, squared = (_step(ebm.at_data(), x + 1, regularization=r)[3]["loss"] for r in (0.0, 0.1))
    assert squared - plain > 0.1 * 1.9  # both energies are about 1


@pytest.mark.parametrize(
    ("loss", "variance"),
    [("implicit", 2.0), ("sliced", 2.0), ({"name": "sliced", "reduced_variance": False}, 2.0),
     ({"name": "denoising", "sigma": 1.0}, 3.0)],
)  # fmt: skip
def test_score_matching_finds_the_bowl_of_the_data(loss, variance):
    """N(0, 2 I), and noise of variance 1 for "denoising": the depth of least loss is 1 / variance."""
    config = commands.config_module(CONFIGS / "toys/ebm.py").get_config()
    config.objective = {"loss": loss, "start": (-2.0, 2.0)}
    built = systems.build(config)
    assert jax.eval_shape(built.init, jax.random.key(0), built.example, {})[1] == {}
    name, options = named(loss, "objective.loss")
    matching = getattr(ebm, name)(**options)
    system = ebm.score_matched(Bowl(), matching, SAMPLER, shape=(2,), gives="points")
    x = np.sqrt(2) * jax.random.normal(jax.random.key(2), (200_000, 2))
    at = lambda depth: tools.variables(system, network={"depth": jnp.float32(depth)})
    slope = lambda depth: tools.gradients(system, at(depth), jax.random.key(1), {"x": x})[0]["network"]
    below, above = (float(slope(d / variance)["depth"]) for d in (0.5, 1.5))
    # the loss is quadratic in the depth: its slope is 0 half way between
    np.testing.assert_allclose(below, -above, rtol=0.05)
    assert below < 0 < above


def test_a_sample_depends_on_its_own_key_alone():
    system = ebm.ebm(Bowl(), ebm.at_data(), CHAIN, SAMPLER, shape=(2,), gives="points")
    keys = jax.random.split(jax.random.key(3), 5)
    draw = lambda keys: system.sample(tools.variables(system), keys, {}, len(keys))
    np.testing.assert_allclose(draw(keys[2:]), draw(keys)[2:], rtol=1e-6)


def test_vector_energies_are_refused():
    system = ebm.ebm(models.MLP(4, 1), ebm.at_data(), CHAIN, SAMPLER, shape=(2,), gives="points")
    v = tools.variables(system)
    with pytest.raises(ValueError, match=r"an energy must give one number for each sample, shape \[8\]"):
        jax.eval_shape(system.updates[0].gradients, v, jax.random.key(1), {"x": jnp.zeros((B, 2))}, 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "objective.starts",
            {"name": "persist"},
            r"objective\.starts must be one of persistent, data, afresh",
        ),
        ("objective.starts", {"name": "none"}, r"objective\.starts must be one of"),
        ("objective.starts", None, r"objective\.starts must be one of"),
        ("objective.starts", {"name": "data", "size": 3}, r"objective\.starts\.size is not an option"),
        ("objective.step_sise", 0.1, r"objective\.step_sise is not an option of ebm"),
        ("objective.steps", 0, "^objective: steps must be a positive integer, got 0"),
        ("objective.loss", "slices", r"objective\.loss must be one of denoising, implicit, sliced"),
        ("objective.loss", "none", r"objective\.loss must be .*, contrastive_divergence; got 'none'"),
        ("objective.loss", None, r"objective\.loss must be one of denoising"),
        (
            "objective.loss",
            {"name": "contrastive_divergence", "k": 1},
            r"objective\.loss\.k is not an option",
        ),
        ("objective.loss", {"name": "denoising", "sigma": 0.0}, r"^objective\.loss: sigma must be positive"),
        ("objective.loss", "implicit", r"objective\.\w+ is not an option of score_matched"),
        ("schedule.name", "edm", r"config\.schedule is not for system 'ebm'"),
        ("sampler.solver", "ddim", r"sampler\.solver is not an option of langevin"),
        ("sampler.guidance_weight", 1.0, r"sampler\.guidance_weight is not for system 'ebm'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(field, value, message):
    config = commands.config_module(CONFIGS / "toys/ebm.py").get_config()
    section, name = field.split(".")
    with config.unlocked():
        config[section] = config.get(section, {})
        config[section][name] = value
    with pytest.raises(ValueError, match=message):
        systems.build(config)


def test_the_name_of_contrastive_divergence_is_that_of_the_default():
    config = commands.config_module(CONFIGS / "toys/ebm.py").get_config()
    config.objective.loss = {"name": "contrastive_divergence"}
    system = systems.build(config)
    extra = jax.eval_shape(system.init, jax.random.key(0), system.example, {})[1]
    assert extra["buffer"].shape == (10_000, 2)
    assert system.serves == ("network",)  # no average and no copy holds the buffer


@pytest.mark.parametrize("file", ["toys/ebm", "digits/ebm"])
def test_calls_are_the_steps_of_the_chain(file):
    config = commands.config_module(CONFIGS / f"{file}.py").get_config()
    assert systems.build(config).passes[0].calls == {"energy gradients": config.sampler.steps}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (1.0, -1.0)}, r"start must be \(lo, hi\) with lo < hi, got \(1.0, -1.0\)"),
        ({"data_noise": -0.1}, "data_noise must be finite and at least 0, got -0.1"),
        ({"regularization": np.inf}, "regularization must be finite and at least 0, got inf"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ebm.ebm(Bowl(), ebm.at_data(), CHAIN, SAMPLER, shape=(2,), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1.5}, "steps must be a positive integer, got 1.5"),
        ({"step_size": np.inf}, "step_size must be positive and finite, got inf"),
        ({"noise_std": -1.0}, "noise_std must be finite and at least 0, got -1.0"),
        ({"max_score": -1.0}, "max_score must be positive"),
        ({"box": (1.0, 1.0)}, r"box must be \(lo, hi\) with lo < hi"),
    ],
)
def test_chains_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ebm.langevin(**{"steps": 3, "step_size": 0.1} | options)
