"""The command on whole run folders: everything it promises is written, and mistakes come early."""

import json
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest
from evaluation.runs import DIGITS, MLP, config_of, run_of
from ml_collections import ConfigDict
from PIL import Image

from diffjax import systems
from diffjax.commands import evaluation_settings as settings
from diffjax.commands import output
from diffjax.data import load, to_model
from diffjax.evaluate import evaluate


def _digits():
    return config_of(DIGITS, {**MLP, "num_classes": 11}, label_dropout=0.5)


def _points():
    return config_of({"name": "ring8", "shape": (2,)}, MLP)


def test_digits(tmp_path, judged):
    folder = run_of(tmp_path, _digits())
    found = evaluate(
        folder, steps=3, guidance_weights=(0.0, 0.5), bound_images=6, sweep_steps=(2, 4), progress=False
    )
    assert found == json.loads((folder / "evaluation.json").read_text())
    assert found["step"] == 7 and found["sampler"] == {"solver": "edm_heun", "steps": 3}
    assert found["real"]["class_accuracy"] == judged.accuracy and found["left_out"] == []
    plain, guided = found["samples"]
    assert plain["count"] == 40  # the last of Heun's steps is one call
    assert (plain["network_calls"], guided["network_calls"]) == (5, 10)
    assert plain["frechet_ratio"] > 5 and plain["class_accuracy"] < 0.5  # an untrained network
    text = (folder / "evaluation.md").read_text()
    assert "| | held-out real | unguided | guidance weight 0.5 |" in text
    for weight in ("0", "0.5"):
        path = f"evaluation/samples_w{weight}.png"
        assert f"({path})" in text and Image.open(folder / path).size[1] == 10 * 50 + 2

    bound = found["bound"]
    assert bound["variance"] == "fixed_small" and bound["count"] == 6 and len(bound["terms"]) == 20
    assert [row["steps"] for row in found["sweep"]] == [2, 4]
    assert [row["network_calls"] for row in found["sweep"]] == [3, 7]
    for name in ("bound", "sweep"):
        assert f"(evaluation/{name}.png)" in text and (folder / f"evaluation/{name}.png").is_file()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_student_is_compared_with_its_teacher(tmp_path, judged):
    """In as many steps, in twice the most, and as it walks itself; a student that is asked for more, too."""
    teacher = run_of(tmp_path / "teacher", _digits())
    folder = run_of(tmp_path / "student", _guided_by(teacher))
    found = evaluate(folder, sweep_steps=(2,), evaluators=("frechet", "class_accuracy"), progress=False)
    named = {row.get("teacher", row.get("steps")): row for row in found["sweep"]}
    assert list(named) == [2, "2 steps", "4 steps", "its own walk"]
    calls = [row["network_calls"] for row in named.values()]
    assert calls == [2, 3, 7, 2 * _digits().sampler.steps - 1]  # of the teacher by Heun's method
    assert named["4 steps"]["frechet"] == pytest.approx(named["its own walk"]["frechet"], rel=1e-5)
    text = (folder / "evaluation.md").read_text()
    assert "| | 2 steps | teacher, 2 steps | teacher, 4 steps | teacher, its own walk |" in text


def _guided_by(teacher):
    """Return the config of a student that takes the guidance weight."""
    config = _digits()
    for section in ("schedule", "model"):
        del config[section]
    config.system = "distill_guidance"
    config.teacher = ConfigDict({"workdir": str(teacher)})
    config.objective = ConfigDict({"weights": (0.0, 2.0), "times": "uniform"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 2, "guidance_weight": 1.0})
    return config


def test_a_student_that_takes_the_guidance_weight_is_asked_that_of_the_arm(tmp_path, judged):
    """And not those of training, which are drawn at random."""
    louder = lambda params: {**params, "guidance": jax.tree.map(lambda a: a + 0.5, params["guidance"])}
    config = _guided_by(run_of(tmp_path / "teacher", _digits()))
    folder = run_of(tmp_path / "student", config, louder)
    how = {"evaluators": ("frechet",), "progress": False}
    by_weight = evaluate(folder, guidance_weights=(0.0, 2.0), **how)["samples"]
    assert by_weight[0]["frechet"] != pytest.approx(by_weight[1]["frechet"], rel=1e-3)
    config.sampler.guidance_weight = 2.0
    alone = evaluate(run_of(tmp_path / "of 2", config, louder), **how)["samples"][0]
    assert alone["frechet"] == by_weight[1]["frechet"]


def test_points(tmp_path):
    folder = run_of(tmp_path, _points())
    found = evaluate(folder, num=50, progress=False)
    untrained, real = found["samples"][0], found["real"]
    assert untrained["count"] == real["count"] == 50 and real["class_accuracy"] > 0.9
    assert untrained["sliced_wasserstein"] > 2 * real["sliced_wasserstein"]
    assert "| | held-out real | unguided |" in (folder / "evaluation.md").read_text()
    assert (folder / "evaluation" / "samples_w0.png").exists()
    again = evaluate(folder, num=50, batch_size=7, evaluators=("components",), progress=False)
    assert again["samples"][0]["weights"] == found["samples"][0]["weights"]
    assert "precision" not in again["samples"][0]
    swept = evaluate(folder, num=50, sweep_steps=(2, 4), evaluators=("sliced_wasserstein",), progress=False)
    assert [row["steps"] for row in swept["sweep"]] == [2, 4]
    assert swept["sweep"][1]["sliced_wasserstein"] == untrained["sliced_wasserstein"]  # its own steps
    assert (folder / "evaluation/sweep.png").is_file()


def _registered(monkeypatch, **fields):
    """Let "own" name a system of `plain_systems`, whose run has no parameters worth a word."""
    make = lambda config, folder=None: plain_systems.make(**fields)._replace(
        serves=("network",), init=lambda key, batch, frozen: ({"network": jnp.float32(0)}, {})
    )
    monkeypatch.setattr(systems, "_REGISTERED", dict(systems._REGISTERED))
    systems.register("own", types.SimpleNamespace(from_config=make, SECTIONS=("data",), IDENTITY=("data",)))
    evaluation = {"num_samples": 16, "batch_size": 16}
    return ConfigDict({"system": "own", "data": DIGITS, "evaluation": evaluation})


def test_images_without_labels(tmp_path, monkeypatch, digits):
    """Nothing can be classified then, but copies are still found: here every sample is one."""
    train, test = digits
    np.savez(tmp_path / "digits.npz", train_image=train.x, test_image=test.x)
    known = jnp.asarray(to_model(train.x[5:21]))
    copies = lambda variables, keys, asked: known[jnp.arange(len(keys)) % 16]
    config = _registered(monkeypatch, shape=(8, 8, 1), gives="images", sample=copies)
    config.data = {"name": "npz", "shape": (8, 8, 1), "path": str(tmp_path / "digits.npz"), "labels": None}
    found = evaluate(run_of(tmp_path / "run", config), progress=False)
    assert found["samples"][0]["copies"] == 1 and found["samples"][0]["nearest_median"] == 0
    assert found["real"]["copies"] == pytest.approx(0.01, abs=0.005)
    assert "frechet" not in found["real"] and "frechet" not in found["samples"][0]
    with pytest.raises(ValueError, match="'frechet' needs labels of the training images, or"):
        evaluate(tmp_path / "run", evaluators=("copies", "frechet"), progress=False)


def test_a_system_without_samples_is_measured_on_held_out_data(tmp_path, monkeypatch):
    """The mean of what its measures say of a row; what is of samples is refused by name."""
    brightness = lambda variables, key, batch: {"mean": batch["x"].mean((1, 2, 3)), "x": batch["x"]}
    config = _registered(monkeypatch, shape=(8, 8, 1), measures={"brightness": brightness})
    folder = run_of(tmp_path, config)
    found = evaluate(folder, progress=False)
    assert found["samples"] == [] and list(found["measures"]["brightness"]) == ["count", "mean"]
    x = to_model(load("digits", "test").x)
    np.testing.assert_allclose(found["measures"]["brightness"]["mean"]["mean"], x.mean(), rtol=1e-5)
    assert "## brightness, of 360 held-out examples" in (folder / "evaluation.md").read_text()
    with pytest.raises(ValueError, match="'prdc' is of samples, and this system gives none"):
        evaluate(folder, evaluators=("prdc",))
    with pytest.raises(ValueError, match="sweep_steps compares samples"):
        evaluate(folder, sweep_steps=(2,), config=_with_sampler(config))
    with pytest.raises(ValueError, match="bound_images needs a system that measures bits per dimension"):
        evaluate(folder, bound_images=3, evaluators=("bits",))


def _with_sampler(config):
    config = config.copy_and_resolve_references()
    config.sampler = {"steps": 3}
    return config


def test_samples_are_asked_for_what_training_rows_have(tmp_path, monkeypatch, judged):
    """Classes in the training set's proportions: samples that are what they were asked for are all right."""
    train = load("digits", "train")
    first = jnp.asarray(to_model(np.stack([train.x[train.label == k][0] for k in range(10)])))
    config = _registered(
        monkeypatch, shape=(8, 8, 1), gives="images", request=plain_systems.labels(),
        sample=lambda variables, keys, asked: first[asked["label"]],
    )  # fmt: skip
    config.evaluation.num_samples = 100
    found = evaluate(run_of(tmp_path, config), evaluators=("class_accuracy",), progress=False)
    right = judged.predict(np.stack([train.x[train.label == k][0] for k in range(10)])) == np.arange(10)
    share = np.bincount(np.sort(train.label)[np.arange(100) * len(train) // 100], minlength=10) / 100
    assert found["samples"][0]["class_accuracy"] == pytest.approx(right @ share)


def test_a_pipeline_is_measured_like_any_other(tmp_path, monkeypatch):
    """It has no run folder: its config, whose arms may change any stage, and a folder for the report."""
    grey = lambda variables, keys, asked: jnp.zeros((len(keys), 8, 8, 1))
    config = _registered(monkeypatch, shape=(8, 8, 1), gives="images", sample=grey)
    config.stages = {"up": {"level": 0.1}}
    found = evaluate(
        config=config, out=tmp_path / "report", arms={"more": {"stages.up.level": 0.2}},
        evaluators=("copies",), progress=False,
    )  # fmt: skip
    assert found["step"] is None and [each["count"] for each in found["samples"]] == [16, 16]
    assert found["samples"][0]["copies"] == 0 and found["samples"][1]["arm"] == "more"
    text = (tmp_path / "report" / "evaluation.md").read_text()
    assert text.startswith("# Evaluation of report\n") and "| unguided | more |" in text
    with pytest.raises(ValueError, match="config has no section 'down'"):
        evaluate(config=config, out=tmp_path / "report", arms={"less": {"stages.down.level": 0.2}})


def test_arms_are_the_config_with_overrides(tmp_path, judged):
    config = _digits()
    config.evaluation.arms = [
        {"title": "w = 0.5, two steps", "sampler.guidance_weight": 0.5, "sampler.steps": 2}
    ]
    folder = run_of(tmp_path, config)
    found = evaluate(folder, evaluators=("frechet",), num=20, progress=False)
    own, arm = found["samples"]
    assert own["guidance_weight"] == 0 and arm["arm"] == "w = 0.5, two steps"
    assert (own["network_calls"], arm["network_calls"]) == (7, 6)
    assert "| | held-out real | unguided | w = 0.5, two steps |" in (folder / "evaluation.md").read_text()
    assert (folder / "evaluation" / "samples_w_0.5_two_steps.png").is_file()
    by_weight = evaluate(
        folder, evaluators=("frechet",), num=20, steps=2, guidance_weights=(0.5,), arms=[], progress=False
    )
    assert by_weight["samples"][0]["frechet"] == pytest.approx(arm["frechet"], rel=1e-6)
    for changes, message in [
        ({"sampler.step": 2}, r"sampler\.step is not an option"),
        ({"samplr.steps": 2}, "config has no section 'samplr'"),
        ({"model.model_channels": 4}, "config.model is"),
        ({}, "changes nothing"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate(folder, arms={"mine": changes})


def test_a_run_that_cannot_be_written_is_measured_elsewhere(tmp_path, judged):
    folder, out = run_of(tmp_path / "run", _points()), tmp_path / "deep" / "report"
    before = sorted(path.name for path in folder.iterdir())
    found = evaluate(folder, out=out, num=50, progress=False)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert found == json.loads((out / "evaluation.json").read_text())
    assert (out / "evaluation.md").read_text().startswith("# Evaluation of run\n")
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "evaluation.md", "evaluation"}
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out .*report cannot be written"):
        evaluate(folder, out=tmp_path / "file" / "report", num=50)
    with pytest.raises(ValueError, match="give --workdir="):
        evaluate(config=_points())
    with pytest.raises(ValueError, match=r"seed must be an integer in 0..4294967295, got -1"):
        evaluate(folder, seed=-1)


def test_an_image_that_breaks_is_told_of_before_anything_is_sampled(tmp_path, monkeypatch):
    """The file was whole when the data were loaded."""
    for i in range(30):
        path = tmp_path / "images" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 8 * i, np.uint8)).save(path)
    loaded = systems.load_data

    def then_break(config, split):
        source = loaded(config, split)
        (tmp_path / "images" / "17.png").write_bytes(b"\x89PNG")
        return source

    drawn = []
    draw = lambda variables, keys, asked: drawn.append(keys) or jnp.zeros((len(keys), 8, 8, 1))
    config = _registered(monkeypatch, shape=(8, 8, 1), gives="images", sample=draw)
    config.data = {
        "name": "folder",
        "path": str(tmp_path / "images"),
        "size": 8,
        "channels": 1,
        "shape": (8, 8, 1),
    }
    monkeypatch.setattr(systems, "load_data", then_break)
    with pytest.raises(ValueError, match=r"17\.png"):
        evaluate(config=config, out=tmp_path / "report", progress=False)
    assert not drawn


def test_what_ends_early_leaves_numbers_and_pictures_as_they_were(tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "old.png").write_text("old")
    (tmp_path / "evaluation.json").write_text("old")
    names = "evaluation", "evaluation.json", "evaluation.md"
    (tmp_path / "evaluation.md").write_text("old")
    with pytest.raises(OSError, match="No space"), output.together(tmp_path, *names) as scratch:
        (scratch / "evaluation").mkdir()
        (scratch / "evaluation" / "new.png").write_text("new")
        raise OSError("No space left on device")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert (tmp_path / "evaluation" / "old.png").read_text() == "old"
    with output.together(tmp_path, *names) as scratch:
        (scratch / "evaluation").mkdir()
        (scratch / "evaluation" / "new.png").write_text("new")
        (scratch / "evaluation.json").write_text("new")
    assert os.listdir(tmp_path / "evaluation") == ["new.png"]  # no picture of other samples
    assert (tmp_path / "evaluation.json").read_text() == "new"
    assert not (tmp_path / "evaluation.md").exists()  # nor numbers


def test_what_a_killed_command_left_is_removed_and_what_a_running_one_writes_is_kept(tmp_path):
    with output.together(tmp_path, "a") as scratch:
        name = scratch.name.removesuffix(str(os.getpid()))
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        left, running = (tmp_path / f"{name}{pid}" for pid in (killed.pid, os.getppid()))
    for folder in (left, running):
        (folder / "a").mkdir(parents=True)
    with output.together(tmp_path, "a") as scratch:
        (scratch / "a").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a", running.name])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_samples", "20", "an integer of at least 10, got '20'"),
        ("num_samples", -5, "an integer of at least 10, got -5"),
        ("batch_size", "a", "an integer of at least 1, got 'a'"),
        ("bound_images", 2.5, "an integer of at least 0, got 2.5"),
        ("reference", "x", "an integer of at least 10, got 'x'"),
        ("guidance_weights", 0.5, r"numbers such as \(0.0, 0.5\), got 0.5"),
        ("guidance_weights", (), "numbers such as"),
        ("guidance_weights", ("a",), "numbers such as"),
        ("sweep_steps", 5, r"integers such as \(5, 10, 50\), got 5"),
        ("sweep_steps", (5, 0), "integers such as"),
        ("bound_variance", "fixed", "one of fixed_small, .*; got 'fixed'; did you mean"),
        ("evaluators", ("freche",), "one of .*; got 'freche'; did you mean 'frechet'"),
        ("evaluators", "frechet", r"names such as \('frechet', 'prdc'\), got 'frechet'"),
        ("arms", 3, "dicts such as"),
        ("arms", [{"sampler.steps": 3}], "titles of their own"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(key, value, message):
    config = _points()
    config.evaluation = {key: value}
    with pytest.raises(ValueError, match=rf"evaluation\.{key} must (be|have) {message}"):
        settings.read(config)


@pytest.mark.parametrize(
    ("schedule", "variance", "message"),
    [
        ({"name": "vp_linear"}, "fixed_small", "is of the bound of a chain"),
        ({"name": "cosine_beta", "num_steps": 20}, "learned", "'learned' needs a network trained for it"),
    ],
)
def test_variances_that_do_not_apply(tmp_path, schedule, variance, message):
    config = config_of(DIGITS, MLP, kind="eps")
    config.schedule, config.sampler = schedule, {"solver": "ddim", "steps": 3}
    folder = run_of(tmp_path, config)
    config.evaluation = {"num_samples": 20, "bound_images": 2, "bound_variance": variance}
    with pytest.raises(ValueError, match=rf"evaluation\.bound_variance.*{message}"):
        evaluate(folder, config=config)


def test_mistakes(tmp_path):
    folder = run_of(tmp_path, _points())
    with pytest.raises(ValueError, match=r"evaluation\.num_samples must be an integer of at least 10, got 3"):
        evaluate(folder, num=3)
    with pytest.raises(ValueError, match="guidance_weight needs a class-conditional model"):
        evaluate(folder, guidance_weights=(1.0,))
    with pytest.raises(ValueError, match=r"sampler\.steps must be at most 20"):
        evaluate(folder, steps=21)
    with pytest.raises(ValueError, match="bound_images needs images of 8 bits, but ring8/test is float32"):
        evaluate(folder, bound_images=4)
    with pytest.raises(ValueError, match="sweep_steps compares distances: it needs points, or images"):
        evaluate(folder, sweep_steps=(2, 3), evaluators=("components",), progress=False)
    config = _points()
    for features, message in [
        ("inceptoin:x.pth", r"must be 'classifier' or '<name>:<path>', .* did you mean 'inception'"),
        ("inception", r"evaluation\.features='inception' needs a path to its weights"),
        (f"classifier:{tmp_path}/none.npz", r"none\.npz, which does not exist"),
        (f"lpips_vgg16:{tmp_path}/none.npz", r"none\.npz"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            evaluate(folder, features=features)
    config.evaluation = {"num_samplez": 20}
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(ValueError, match="did you mean 'num_samples'"):
        evaluate(folder)
    config = _points()
    del config.evaluation
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(ValueError, match=r"num must be given: .* has no evaluation\.num_samples"):
        evaluate(folder)
    with pytest.raises(ValueError, match="no such workdir"):
        evaluate(tmp_path / "nowhere")
