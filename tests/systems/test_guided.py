"""A trained denoiser steered by a trained classifier: exact where both are, and two runs as one system."""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import plain_systems
import pytest
from ml_collections import ConfigDict
from systems import tools
from systems.test_classifier import CHAIN, CLASSES, Bayes

from diffjax import commands, evaluate, guidance, samplers, systems, train
from diffjax.systems.classifier import classifier
from diffjax.systems.guided import guided
from diffjax.systems.stages import Stage
from diffjax.training.system import Variables

MODES = mixtures.tilted()
LABEL = np.array([0, 1, 1, 0])
MEAN = {"sampler.classifier_shift": "mean", "sampler.solver": "ancestral"}


def _exact(labelled, scale, make=samplers.ddim, sampler=None, request=None, **how):
    """Guide the mixture's denoiser by its classifier."""
    own = plain_systems.denoising(
        lambda network: MODES.denoiser(), CHAIN, labelled=labelled, shape=(2,), gives="points",
        sample=lambda v, keys, asked: keys,
    )  # fmt: skip
    own = own._replace(request=request or own.request)
    guide = classifier(Bayes(), CHAIN, shape=(2,), num_classes=CLASSES)
    variables = {"denoiser": plain_systems.variables(), "classifier": tools.variables(guide)}
    stages = {
        name: Stage(each, lambda folder, name=name: variables[name], lambda name=name: variables[name])
        for name, each in {"denoiser": own, "classifier": guide}.items()
    }
    times = np.arange(100, -1, -10)
    made = guided(stages, CHAIN, sampler or tools.sampler(CHAIN, make(), times), scale, **how)
    return made, Variables(frozen=made.prepare(None)[0])


def _conditions(made, v, label):
    return made.request.encode(v, {name: {"label": label} for name in made.stages})


def test_at_scale_one_it_is_the_conditional_denoiser():
    made, v = _exact(labelled=False, scale=1.0)

    @jax.jit
    def both(x, n):
        level, label = CHAIN(n), jnp.asarray(LABEL)
        found = made.denoiser(v)(x, level, _conditions(made, v, label))
        return found[:2], MODES.predict(x, level, label)[:2]

    for n in (1, 20, 60, 100):
        found, expected = both(jax.random.normal(jax.random.key(n), (4, 2)), jnp.asarray(n))
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_conditional_denoiser_is_asked_for_the_class_too():
    """ADM-G: eps of the class, shifted by the classifier's slope."""
    made, v = _exact(labelled=True, scale=2.0)
    x, level = jax.random.normal(jax.random.key(0), (4, 2)), CHAIN(40)
    found, score = jax.jit(
        lambda x: (
            made.denoiser(v)(x, level, _conditions(made, v, LABEL)).eps,
            3 * MODES.score(x, level, jnp.asarray(LABEL)) - 2 * MODES.score(x, level),
        )
    )(x)
    np.testing.assert_allclose(found, -level.sigma * score, atol=1e-4)


def _slope(x, level, label):
    """Return grad log p(y | x_t) of the mixture."""
    return MODES.score(x, level, label) - MODES.score(x, level)


def test_the_mean_is_shifted_in_the_place_of_eps():
    made, v = _exact(False, 2.0, samplers.ancestral, shifted=samplers.ancestral)
    keys, request = jax.random.split(jax.random.key(3), 4), made.request.of_user({"label": [0, 1, 1, 0]}, 4)
    found = jax.jit(lambda keys: made.passes[0].run(v, keys, request, ()))(keys)
    solver = samplers.ancestral(mean_shift=lambda x, level, label: 2 * _slope(x, level, label))
    unguided = lambda x, level, label: MODES.predict(x, level)
    expected = samplers.sample(
        keys, unguided, CHAIN, solver, np.arange(100, -1, -10), shape=(4, 2), cond=jnp.asarray(LABEL)
    )
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_gradient_at_x0_is_that_of_data_carried_back():
    made, v = _exact(labelled=False, scale=2.0, of_x0=True)
    x, n, label = jax.random.normal(jax.random.key(0), (4, 2)), 40, jnp.asarray(LABEL)
    level, data = CHAIN(n), CHAIN(1)

    @jax.jit
    def both(x):
        x0, back = jax.vjp(lambda x: MODES.predict(x, level).x0, x)
        shift = 2 * level.sigma * back(_slope(x0, data, label))[0]
        return made.denoiser(v)(x, level, _conditions(made, v, label)).eps, MODES.predict(
            x, level
        ).eps - shift

    np.testing.assert_allclose(*both(x), atol=2e-4)


def test_a_denoiser_with_a_null_is_guided_away_from_it_too():
    """eps of the null and of the class are mixed first, and then shifted by the classifier's slope."""
    labels = plain_systems.labels(CLASSES)
    hidden = lambda v, request, keep=None: jnp.where(keep["label"] if keep else True, request["label"], -1)
    parts = {"label": labels.parts["label"]._replace(drop=0.1)}
    sampler = tools.sampler(CHAIN, samplers.ddim(), np.arange(100, -1, -10), guidance_weight=0.5)
    made, v = _exact(True, 2.0, sampler=sampler, request=labels._replace(parts=parts, encode=hidden))
    assert made.passes[0].calls == {"denoiser": 20, "classifier": 10}
    keys, request = jax.random.split(jax.random.key(3), 4), {name: {"label": LABEL} for name in made.stages}
    found = jax.jit(lambda keys: made.passes[0].run(v, keys, request, ()))(keys)
    guides = guidance.chain(
        guidance.classifier_free(weight=0.5, null=-1), guidance.classifier(_slope, 2.0)
    )  # fmt: skip
    expected = samplers.sample(
        keys, guides(MODES.denoiser()), CHAIN, samplers.ddim(), np.arange(100, -1, -10), shape=(4, 2),
        cond=jnp.asarray(LABEL),
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_hidden_request_steers_nothing_and_none_is_refused():
    made, v = _exact(labelled=False, scale=5.0)
    x, level = jax.random.normal(jax.random.key(0), (4, 2)), CHAIN(40)
    with pytest.raises(ValueError, match="a guided denoiser needs a request"):
        made.denoiser(v)(x, level)
    request = {"denoiser": {}, "classifier": {"label": LABEL}}
    cond = made.request.encode(v, request, {"label": jnp.zeros(4, bool)})
    both = jax.jit(lambda x: (made.denoiser(v)(x, level, cond).eps, MODES.predict(x, level).eps))
    np.testing.assert_allclose(*both(x), atol=1e-6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guided")
    for name in ("ddpm", "classifier"):
        config = tools.tiny(f"toys/{name}")
        config.evaluation.reference = 32
        train.train(config, folder / name, progress=False)
    return folder


def _config(runs, **changes):
    config = commands.config_module(tools.CONFIGS / "digits/classifier_guided.py").get_config()
    ring = {"name": "ring8", "shape": (2,), "num_classes": 8, "num_examples": 64}
    config.data = ConfigDict(ring)
    for stage, run in (("denoiser", "ddpm"), ("classifier", "classifier")):
        config[stage].workdir = str(runs / run)
    own = {"sampler.steps": 3, "evaluation.num_samples": 16}
    return commands.overridden(config, own | changes)


def _draw(run, config=None):
    loaded = commands.load(run, config=config)
    return commands.sample_in_batches(
        loaded.system, loaded.variables, key=jax.random.key(0), num=5, batch_size=5, progress=None
    ).x


def test_two_runs_are_one_system(runs):
    """Labels reach the classifier of a model that takes none; at scale 0 samples are the model's own."""
    system = systems.build(_config(runs))
    assert system.passes[0].calls == {"denoiser": 3, "classifier": 3}
    assert list(system.request.parts) == ["label"]
    assert system.request.describe(system.request.of_user({"label": ["3", 1]}, 3)) == ["3", "1", "3"]
    unguided = _config(runs, **{"sampler.classifier_scale": 0.0})
    assert systems.build(unguided).passes[0].calls == {"denoiser": 3}
    sampler = {name: value for name, value in unguided.sampler.items() if name != "classifier_scale"}
    expected = _draw(runs / "ddpm", commands.overridden(tools.tiny("toys/ddpm"), {"sampler": sampler}))
    np.testing.assert_allclose(_draw(unguided), expected, atol=1e-5)
    assert np.abs(_draw(_config(runs)) - expected).max() > 1e-4


@pytest.mark.slow
def test_a_walk_on_a_trained_schedule_is_steered(runs, tmp_path):
    """At scale 0 a VDM's samples are its own, of the noise levels that it learned."""
    train.train(tools.tiny("toys/vdm"), tmp_path / "vdm", progress=False)
    own = {"denoiser.workdir": str(tmp_path / "vdm"), "sampler.threshold": None}
    unguided = _config(runs, **own, **{"sampler.classifier_scale": 0.0})
    sampler = {name: value for name, value in unguided.sampler.items() if name != "classifier_scale"}
    expected = _draw(tmp_path / "vdm", commands.overridden(tools.tiny("toys/vdm"), {"sampler": sampler}))
    np.testing.assert_allclose(_draw(unguided), expected, rtol=1e-5, atol=1e-5)  # of numbers up to 100
    assert np.abs(_draw(_config(runs, **own)) - expected).max() > 1e-3


def test_it_is_measured_by_its_config(runs, tmp_path):
    config = _config(runs, **{"evaluation.arms": ({"title": "more", "sampler.classifier_scale": 9.0},)})
    found = evaluate.evaluate(config=config, out=tmp_path, evaluators=["class_accuracy"], progress=False)
    assert [each["arm"] for each in found["samples"]] == ["classifier scale 3", "more"]
    assert all(0 <= each["class_accuracy"] <= 1 for each in found["samples"])


def test_a_classifier_is_measured_and_not_sampled(runs):
    found = evaluate.evaluate(runs / "classifier", progress=False)
    levels = found["by_level"]["by_level"]["levels"]
    assert found["samples"] == [] and found["by_level"]["by_level"]["count"] == 32
    assert all(level["nll"] >= level["bayes_nll"] - 0.5 for level in levels)
    report = (runs / "classifier/evaluation.md").read_text()
    assert report.count("\n| ") == 1 + len(levels) and "![classification by noise level]" in report
    assert (runs / "classifier/evaluation/by_level.png").is_file()
    assert "diffjax.sample" not in (runs / "classifier/README.md").read_text()
    loaded = commands.load(runs / "classifier")
    with pytest.raises(ValueError, match="this system samples nothing: it has no passes"):
        commands.sample_in_batches(
            loaded.system, loaded.variables, key=jax.random.key(0), num=1, batch_size=1
        )


def _changed(runs, tmp_path, section, **fields):
    """Return a folder with the classifier's config, changed."""
    config = json.loads((runs / "classifier/config.json").read_text())
    config[section] |= fields
    shutil.copytree(runs / "classifier", tmp_path / "other")
    pathlib.Path(tmp_path / "other/config.json").write_text(json.dumps(config))
    return {"classifier.workdir": str(tmp_path / "other")}


def test_runs_that_do_not_fit_are_refused(runs, tmp_path):
    message = r"config.classifier is of examples \(3,\), and config.denoiser of \(2,\)"
    with pytest.raises(ValueError, match=message):
        systems.build(_config(runs, **_changed(runs, tmp_path, "data", shape=(3,))))


def test_what_cannot_steer_or_be_steered_is_refused(runs):
    ddpm, guide = str(runs / "ddpm"), str(runs / "classifier")
    for changes, message in (
        ({"classifier.workdir": ddpm}, "config.classifier must be a run of a system with log_prob"),
        ({"denoiser.workdir": guide}, "config.denoiser must be a run with a denoiser"),
        ({"classifier": None}, "config.classifier is missing"),
        ({"sampler.classifier_scale": "high"}, "sampler.classifier_scale must be a number, finite"),
        (
            {"sampler.guidance_weight": 1.0},
            r"guidance_weight needs .*got 1\.0 without",
        ),
        ({"sampler.guidance_scales": {"label": 1.0}}, "guidance_scales needs a class-conditional model"),
        ({"sampler.classifier_of_x0": 1}, "sampler.classifier_of_x0 must be True or False, got 1"),
        (
            {"sampler.classifier_shift": "men"},
            "classifier_shift must be one of eps, mean.*did you mean 'mean'",
        ),
        ({"sampler.classifier_shift": "mean"}, "'mean' needs sampler.solver='ancestral' .*, got 'ddim'"),
        ({**MEAN, "sampler.classifier_of_x0": True}, "sampler.classifier_of_x0 must be left out with"),
        ({**MEAN, "sampler.corrector": "langevin"}, "without a corrector, got 'ancestral' with 'langevin'"),
    ):
        with pytest.raises(ValueError, match=message):
            systems.build(_config(runs, **changes))
    unguided = tools.tiny("toys/ddpm", **{"sampler.classifier_scale": 3.0})
    with pytest.raises(ValueError, match=r"sampler\.classifier_scale is not an option of ancestral"):
        systems.build(unguided)
    with pytest.raises(ValueError, match=r"label must be in 0\.\.7, got 8"):
        systems.build(_config(runs)).request.of_user({"label": [8]}, 1)
