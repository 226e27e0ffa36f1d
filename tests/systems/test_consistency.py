"""Consistency models as systems: their ends, their targets, and every rule that a config may name."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems import tools
from systems.tools import tiny

from diffjax import commands, sample, samplers, systems, train
from diffjax.commands import arms
from diffjax.process import prediction, schedules
from diffjax.systems import consistency, consistency_rules, ddpm
from diffjax.systems.stages import Stage
from diffjax.training import ema
from diffjax.training.system import Variables

X = jax.random.normal(jax.random.key(5), (8, 2))


def _config(**objective):
    return commands.overridden(tiny("toys/consistency"), {"objective": objective})


def _alone(**objective):
    """Return a config without a teacher."""
    config, edm = _config(sigma_data=0.7, **objective), tiny("toys/edm")
    config.teacher, config.schedule, config.model = None, edm.schedule, edm.model
    return config


@pytest.mark.parametrize("make", [_config, _alone], ids=["distilled", "alone"])
def test_the_map_is_the_identity_at_the_last_level(make):
    system = systems.build(make())
    v = tools.variables(system)
    schedule = system.schedule(v)
    f = jax.jit(lambda x, t: system.flow_map(v)(x, schedule(t), schedule(0.002)))
    np.testing.assert_allclose(f(X, 0.002), X, rtol=1e-5)
    assert np.abs(f(X, 1.0) - X).max() > 0.1 and system.denoiser is None


def test_the_target_moves_first_by_the_parameters_that_come_in():
    system = systems.build(_alone(levels="progressive", target={"name": "adaptive", "mu0": 0.9}))
    v = tools.variables(system)
    moved = v._replace(params=jax.tree.map(lambda p: p + 0.1, v.params))
    _, extra, metrics = tools.gradients(system, moved, jax.random.key(1), {"x": X})
    expected = ema.update(v.extra["target"], moved.params, 0.9**2)  # N = 2 at first
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), extra["target"], expected)
    assert metrics["levels"] == 2 and set(system.serves) == {"network"}


def test_a_model_may_begin_as_a_teacher_and_learn_from_the_data():
    """ECT: the first stage's s is the last level for small t, where the target is the data themselves."""
    how = {"levels": {"name": "closing", "doubled_every": 1}, "pairs": "log_normal", "tangent": "data"}
    system = systems.build(_config(metric="pseudo_huber", weighting="inverse_gap", **how))
    v = tools.variables(system)
    assert v.extra == {} and system.stages.keys() == {"teacher"}
    jax.tree.map(np.testing.assert_array_equal, v.params, dict(v.frozen["teacher"].params))
    _, _, metrics = tools.gradients(system, v, jax.random.key(1), {"x": X})
    assert np.isfinite(metrics["loss"]) and metrics["levels"] == 2


def test_walks_go_by_the_number_of_steps_or_the_levels_that_are_named():
    for sampler, calls in (({"steps": 1}, 1), ({"steps": 4}, 4), ({"levels": (80.0, 0.8)}, 2)):
        config = _config()
        config.sampler = ConfigDict(sampler)
        assert systems.build(config).passes[0].calls == {"network": calls}
    fewer = sample.with_sampler(config, steps=1)
    assert "levels" not in fewer.sampler and systems.build(fewer).passes[0].calls == {"network": 1}
    _, sweep = arms.of(config, {"sweep_steps": (1, 4), "arms": ()}, None, None)
    assert [each.calls for each in sweep][:2] == [1, 4]


class Dropped(nn.Module):
    """F = w m tanh(x) with a mask m of dropout, which is told to `masks` when it trains."""

    vector_features: int = 4
    map_channels: int = 0
    masks = []  # noqa: RUF012  # of all

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        weight = self.param("weight", nn.initializers.ones, ())
        mask = nn.Dropout(0.5, deterministic=not train)(jnp.ones_like(x))
        if train:
            jax.debug.callback(lambda m: self.masks.append(np.asarray(m)), mask)
        return weight * mask * jnp.tanh(x)


@pytest.mark.parametrize("taught", [False, True])
def test_student_and_target_have_the_same_dropout(taught):
    """Another one each step, and the teacher none."""
    edm = schedules.edm()
    scales = prediction.edm_preconditioning if taught else prediction.consistency_preconditioning
    reading, walk = prediction.reading_of(scales(0.5)), tools.sampler(edm, samplers.ddim(), [80.0, 0.002])
    base = ddpm.ddpm(Dropped(), edm, walk, shape=(16,), gives="points", reading=reading)
    read = lambda *_: Variables(tools.variables(base).params)
    teacher = Stage(base, read, read) if taught else None
    ends = consistency_rules.Ends()
    rule = consistency_rules.rule_of({}, ends, 10, taught, None)
    system = consistency.consistency(base, teacher, edm, ends, rule, np.array([80.0, 0.002]))
    v, x = tools.variables(system), jnp.ones((8, 16))
    steps = []
    for key in (1, 2):
        Dropped.masks.clear()
        tools.gradients(system, v, jax.random.key(key), {"x": x})
        jax.effects_barrier()
        ours, target = Dropped.masks
        np.testing.assert_array_equal(ours, target)
        assert set(np.unique(ours)) == {0, 2}
        steps.append(ours)
    assert (steps[0] != steps[1]).any()


@pytest.mark.parametrize(
    "objective",
    [
        {"levels": {"name": "doubling", "s0": 4, "s1": 32}, "pairs": {"name": "log_normal", "std": 1.5}},
        {"target": {"name": "constant", "rate": 0.9}, "metric": "l1", "weighting": "edm", "solver": "euler"},
        {"levels": {"name": "fixed", "num_levels": 40}, "weighting": "snr_plus_one"},
    ],
)
def test_every_rule_is_one_program(objective):
    system = systems.build(_config(**objective))
    v = tools.variables(system)
    found = jax.eval_shape(system.updates[0].gradients, v, jax.random.key(0), {"x": X}, jnp.int32(0))
    assert jax.tree.structure(found[1]) == jax.tree.structure(v.extra)
    assert system.updates[0].rowwise == ("target" not in objective)


SMALL = {
    "model_channels": 2,
    "num_groups": 1,
    "channel_mult": (1,),
    "attention_resolutions": (),
    "num_heads": 1,
}
LPIPS = {"pretrained": "none.npz", "architecture": "lpips_alexnet"}


def _digits(name):
    config = tiny(name)
    del config.data["num_examples"]
    return config


def _of_digits(look, **objective):
    """Return a config that learns digits alone, by an MLP, with the section `perceptual`."""
    config = _alone(metric="perceptual", **objective)
    config.data, config.perceptual = _digits("digits/classifier").data, look
    return config


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the folder of a tiny run on digits."""
    config, folder = _digits("digits/classifier"), tmp_path_factory.mktemp("classifier")
    config.model.update(SMALL)
    train.train(config, folder, progress=False)
    return folder


def test_what_a_trained_network_sees_is_a_metric(classifier, tmp_path):
    """It is copied into the run by its checksum, and what it is takes no gradient and no step."""
    config = _of_digits({"workdir": str(classifier)}, target="stopped")
    config.training.num_steps = 2
    train.train(config, tmp_path / "run", progress=False)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert np.isfinite(losses).all() and len(losses) == 2
    assert len(json.loads((tmp_path / "run/stages/perceptual/stage.json").read_text())["checksum"]) == 64
    system, v, step = commands.load(tmp_path / "run")
    assert step == 2 and set(v.params) == {"network"} and set(system.stages) == {"perceptual"}
    grads, extra, _ = tools.gradients(system, v, jax.random.key(1), {"x": jnp.ones((4, 8, 8, 1))})
    assert grads.keys() == {"network"} and extra == {}


def test_the_published_distance_needs_its_file_and_pictures(classifier, tmp_path):
    assert systems.build(_of_digits(LPIPS)).frozen.keys() == {"perceptual"}  # as shapes, without the file
    refused = [
        (_of_digits(LPIPS), tmp_path, "config.perceptual.pretrained: there is no file none.npz"),
        (_of_digits(None), None, "objective.metric='perceptual' needs config.perceptual"),
    ]
    points = _of_digits(LPIPS)
    points.data = _config().data
    refused.append((points, None, r"config\.perceptual is of images \(H, W, C\); data\.shape is \(2,\)"))
    l2 = _of_digits(LPIPS)
    l2.objective.metric = "l2"
    refused.append((l2, None, "config.perceptual is for objective.metric='perceptual'; got 'l2'"))
    larger = _of_digits({"workdir": str(classifier)})
    larger.data.shape = (16, 16, 1)
    refused.append(
        (larger, None, r"config\.perceptual is of images \(8, 8, 1\), and data\.shape is \(16, 16")
    )
    for config, folder, message in refused:
        with pytest.raises(ValueError, match=message) as error:
            systems.build(config, folder)
        assert "\n" not in str(error.value)


def test_what_is_no_consistency_model_is_refused():
    for make, how, message in (
        (_config, {"levels": "fixd"}, "objective.levels must be one of"),
        (_config, {"levels": {"name": "fixed", "levels": 3}}, r"objective\.levels\.levels is not an option"),
        (_config, {"levels": "closing"}, "draws its levels by objective.pairs='log_normal'"),
        (_config, {"pairs": {"name": "uniform", "std": 1.0}}, r"objective\.pairs\.std is not an option of"),
        (_config, {"target": "moving"}, "objective.target must be one of stopped, constant, adaptive"),
        (_config, {"target": {"name": "constant", "rate": 2.0}}, r"objective\.target\.rate must be a number"),
        (_config, {"metric": "lpips"}, "objective.metric must be one of l1, l2, pseudo_huber, perceptual"),
        (_config, {"weighting": "heavy"}, "objective.weighting must be one of"),
        (_config, {"tangent": "data", "solver": "heun"}, "objective.solver is of a teacher's step"),
        (
            _config,
            {"sigma_min": 1.0, "sigma_max": 0.5},
            "objective.sigma_min and objective.sigma_max must lie",
        ),
        (_config, {"label_dropout": 0.1}, r"objective\.label_dropout is not an option"),
        (_alone, {"tangent": "teacher"}, "objective.tangent='teacher' needs config.teacher"),
        (_alone, {"kind": "v"}, r"objective\.kind is not an option"),
    ):
        with pytest.raises(ValueError, match=message):
            systems.build(make(**how))
    for sampler, message in (
        ({"steps": 0}, "sampler.steps must be a positive integer, got 0"),
        ({"steps": 1, "solver": "ddim"}, "sampler.solver is not an option of a consistency model"),
        ({"levels": (90.0,)}, "sampler.levels must be a number"),
        ({"levels": (80.0, 1.0), "steps": 1}, "sampler.steps must be left out, or 2 as sampler.levels has"),
    ):
        config = _config()
        config.sampler = ConfigDict(sampler)
        with pytest.raises(ValueError, match=message):
            systems.build(config)
    both = _config()
    both.model = ConfigDict({"name": "mlp"})
    with pytest.raises(ValueError, match=r"config\.model must be left out: it is the teacher's"):
        systems.build(both)
