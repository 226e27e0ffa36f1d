"""The command on whole run folders: everything it promises is written, and mistakes come early."""

import functools
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
from ml_collections import ConfigDict
from PIL import Image

from diffjax import systems
from diffjax.commands import evaluation_settings as settings
from diffjax.commands import output
from diffjax.data import load, to_model
from diffjax.evaluate import evaluate
from diffjax.evaluation import classifier, dequantiser
from diffjax.process import schedules
from diffjax.training import TrainState, checkpoints
from diffjax.training.ema import TRACK
from diffjax.training.system import Variables, served


def _config(data, model, **objective):
    return ConfigDict(
        {
            "system": "ddpm",
            "data": data,
            "schedule": {"name": "cosine_beta", "num_steps": 20},
            "model": model,
            "objective": {"kind": "v"} | objective,
            "sampler": {"solver": "edm_heun", "steps": 4},
            "evaluation": {"num_samples": 40, "batch_size": 16},
        }
    )


DIGITS = {"name": "digits", "shape": (8, 8, 1), "num_classes": 10}
MLP = {"name": "mlp", "width": 8, "depth": 1}
BITS = ("bits",)  # alone


def _digits():
    return _config(DIGITS, {**MLP, "num_classes": 11}, label_dropout=0.5)


def _points():
    return _config({"name": "ring8", "shape": (2,)}, MLP)


def _run(folder, config, change=lambda params: params):
    """Write the folder of a run whose network is as it was initialised, or changed."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    system = systems.build(config)
    params, extra = system.init(jax.random.key(0), system.example, {})
    params = change(params)
    ema = {TRACK: served(system, Variables(params, extra, {}))}
    state = TrainState(step=jnp.int32(7), params=params, ema=ema, opt_state={}, extra=extra)
    with checkpoints.open_manager(folder) as manager:
        checkpoints.save(manager, 7, state, data={}, meta={}, metrics={"loss": 1.0})
    return folder


def _silent(params):
    """The network says 0 whatever it is asked."""
    return params | {"network": jax.tree.map(jnp.zeros_like, params["network"])}


@pytest.fixture
def judged(monkeypatch, judge):
    monkeypatch.setattr(classifier, "fit", lambda source, held_out, seed: judge)
    return judge


def test_digits(tmp_path, judged):
    folder = _run(tmp_path, _digits())
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


def test_points(tmp_path):
    folder = _run(tmp_path, _points())
    found = evaluate(folder, num=50, progress=False)
    untrained, real = found["samples"][0], found["real"]
    assert untrained["count"] == real["count"] == 50 and real["class_accuracy"] > 0.9
    assert untrained["sliced_wasserstein"] > 2 * real["sliced_wasserstein"]
    assert "| | held-out real | unguided |" in (folder / "evaluation.md").read_text()
    assert (folder / "evaluation" / "samples_w0.png").exists()
    again = evaluate(folder, num=50, batch_size=7, evaluators=("components",), progress=False)
    assert again["samples"][0]["weights"] == found["samples"][0]["weights"]
    assert "precision" not in again["samples"][0]


def _held_out(count):
    """The pixels [count, D] that bits are measured of."""
    x = load("digits", "test").x
    return np.asarray(to_model(x[np.arange(count) * len(x) // count]), np.float64).reshape(count, -1)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_bits_of_a_chain_whose_network_says_zero(tmp_path, judged, variance):
    """x_0 is guessed as 0: each mean is off by its coefficient of x_0, without any noise. What two Gaussians
    of known variances differ by is Ho et al. 2020, equations (2), (7) and (8), here from the betas."""
    config = _config(DIGITS, MLP, kind="x0")
    config.evaluation.bound_variance = variance
    found = evaluate(
        _run(tmp_path, config, _silent), num=12, bound_images=7, evaluators=BITS, progress=False
    )["bound"]
    n = np.arange(20)
    f = lambda t: np.cos((t / 20 + 0.008) / 1.008 * np.pi / 2) ** 2
    beta = np.minimum(1 - f(n + 1) / f(n), 0.999)
    alpha_bar = np.cumprod(1 - beta)
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    small = beta * (1 - before) / (1 - alpha_bar)
    model = small if variance == "fixed_small" else beta
    square = (_held_out(7) ** 2).mean(1)[:, None]
    off = (np.sqrt(before) * beta / (1 - alpha_bar)) ** 2 * square
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = 0.5 * (np.log(model / small) + (small + off) / model - 1) / np.log(2)
    last = alpha_bar[-1]
    prior = 0.5 * (last * square[:, 0] + (1 - last) - 1 - np.log(1 - last)) / np.log(2)
    np.testing.assert_allclose(found["between"], terms[:, 1:].sum(1).mean(), rtol=1e-4)
    np.testing.assert_allclose(found["terms"][1:], terms[:, 1:].mean(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["prior"], prior.mean(), rtol=1e-3, atol=1e-6)
    parts = found["prior"] + found["between"] + found["decoder"]
    np.testing.assert_allclose(found["bits_per_dim"], parts, rtol=1e-5)
    assert found["variance"] == variance and found["count"] == 7


def test_bits_of_an_ode_whose_network_says_zero(tmp_path, judged):
    """Without noise to take away x only shrinks, by alpha: the density is a Gaussian of a known width."""
    config = _config(DIGITS, MLP, kind="eps")
    config.schedule, config.sampler = {"name": "vp_linear"}, {"solver": "ddim", "steps": 3}
    folder = _run(tmp_path, config, _silent)
    found = evaluate(folder, num=12, bound_images=7, evaluators=BITS, progress=False)
    assert "bound" not in found and found["samples"][0]["network_calls"] == 3
    noise = schedules.vp_linear()
    first, last = (noise(np.float64(t)) for t in (noise.t_min, noise.t_max))
    shrinks = np.log(last.alpha / first.alpha)
    # uniform noise in bins of 2/255 adds its variance
    square = (_held_out(7) ** 2 + (2 / 255) ** 2 / 12).mean(1)
    nats = 0.5 * (square * np.exp(2 * shrinks) + np.log(2 * np.pi)) - shrinks - np.log(2 / 255)
    np.testing.assert_allclose(found["likelihood"]["bits_per_dim"], nats.mean() / np.log(2), rtol=1e-4)
    assert found["likelihood"]["count"] == 7
    text = (folder / "evaluation.md").read_text()
    assert "## Bits per dimension" in text and "with uniform dequantisation" in text


@pytest.mark.parametrize("num_steps", [None, 8])
def test_bits_of_a_vdm_whose_network_says_zero(tmp_path, judged, num_steps):
    """All of the noise is missed, E eps^2 = 1: the diffusion part is half the reach of log SNR in continuous
    time (Kingma et al. 2021, equation 17), T (e^(reach / T) - 1) / 2 in T steps (14)."""
    config = _config(DIGITS, MLP, kind="eps", num_steps=num_steps)
    config.system, config.schedule = "vdm", {"name": "learned", "width": 4}
    config.sampler = {"solver": "ddim", "steps": 3}
    folder = _run(tmp_path, config, _silent)
    found = evaluate(folder, num=12, bound_images=7, evaluators=BITS, progress=False)
    bound, reach = found["continuous_bound"], 13.3 + 5.0
    assert "bound" not in found and bound["num_steps"] == num_steps
    diffusion = reach / 2 if num_steps is None else num_steps * np.expm1(reach / num_steps) / 2
    # 7 x 64 x 64 squares of noise: 0.8 % of standard deviation
    np.testing.assert_allclose(bound["diffusion"], diffusion / np.log(2), rtol=0.03)
    last = 1 / (1 + np.exp(5.0))  # alpha^2 at the end
    prior = 0.5 * (last * (_held_out(7) ** 2).mean(1) - last - np.log(1 - last)) / np.log(2)
    np.testing.assert_allclose(bound["prior"], prior.mean(), rtol=1e-3)
    assert bound["standard_error"] > 0
    said = f"in {num_steps} steps" if num_steps else "in continuous time"
    assert f"| diffusion, {said} |" in (folder / "evaluation.md").read_text()


def test_dequantisation_of_a_conditional_model(tmp_path, judged, monkeypatch):
    """The law is fitted with the training labels; a chain or another name is refused before the work."""
    config = _config(DIGITS, MLP | {"num_classes": 10}, kind="eps")
    config.schedule, config.sampler = {"name": "vp_linear"}, {"solver": "ddim", "steps": 3}
    config.evaluation.dequantisation = "variational"
    soon = functools.partial(dequantiser.fit, num_steps=20)
    monkeypatch.setitem(dequantiser.DEQUANTISATIONS, "variational", soon)
    folder = _run(tmp_path, config)
    found = evaluate(folder, num=12, bound_images=3, evaluators=BITS, progress=False)
    assert found["likelihood"]["dequantisation"] == "variational"
    assert "with variational dequantisation" in (folder / "evaluation.md").read_text()

    config.evaluation.dequantisation = "gaussian"
    with pytest.raises(ValueError, match=r"evaluation\.dequantisation must be one of uniform, variational"):
        evaluate(folder, config=config, bound_images=3)
    config.evaluation.dequantisation = "variational"
    config.schedule = {"name": "cosine_beta", "num_steps": 20}
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(ValueError, match=r"dequantisation is of the likelihood of a continuous schedule"):
        evaluate(folder, bound_images=3)


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
    found = evaluate(_run(tmp_path / "run", config), progress=False)
    assert found["samples"][0]["copies"] == 1 and found["samples"][0]["nearest_median"] == 0
    assert found["real"]["copies"] == pytest.approx(0.01, abs=0.005)
    assert "frechet" not in found["real"] and "frechet" not in found["samples"][0]
    with pytest.raises(ValueError, match="'frechet' needs labels of the training images, or"):
        evaluate(tmp_path / "run", evaluators=("copies", "frechet"), progress=False)


def test_a_system_without_samples_is_measured_on_held_out_data(tmp_path, monkeypatch):
    """The mean of what its measures say of a row; what is of samples is refused by name."""
    brightness = lambda variables, key, batch: {"mean": batch["x"].mean((1, 2, 3)), "x": batch["x"]}
    config = _registered(monkeypatch, shape=(8, 8, 1), measures={"brightness": brightness})
    folder = _run(tmp_path, config)
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
    found = evaluate(_run(tmp_path, config), evaluators=("class_accuracy",), progress=False)
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
    folder = _run(tmp_path, config)
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
    folder, out = _run(tmp_path / "run", _points()), tmp_path / "deep" / "report"
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
    config = _config(DIGITS, MLP, kind="eps")
    config.schedule, config.sampler = schedule, {"solver": "ddim", "steps": 3}
    folder = _run(tmp_path, config)
    config.evaluation = {"num_samples": 20, "bound_images": 2, "bound_variance": variance}
    with pytest.raises(ValueError, match=rf"evaluation\.bound_variance.*{message}"):
        evaluate(folder, config=config)


def test_mistakes(tmp_path):
    folder = _run(tmp_path, _points())
    with pytest.raises(ValueError, match=r"evaluation\.num_samples must be an integer of at least 10, got 3"):
        evaluate(folder, num=3)
    with pytest.raises(ValueError, match="guidance_weight needs a class-conditional model"):
        evaluate(folder, guidance_weights=(1.0,))
    with pytest.raises(ValueError, match=r"sampler\.steps must be at most 20"):
        evaluate(folder, steps=21)
    with pytest.raises(ValueError, match="bound_images needs images of 8 bits, but ring8/test is float32"):
        evaluate(folder, bound_images=4)
    with pytest.raises(ValueError, match="sweep_steps compares Fréchet distances"):
        evaluate(folder, sweep_steps=(2, 3), progress=False)
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
