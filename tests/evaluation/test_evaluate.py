"""The command on whole run folders: everything it promises is written, and mistakes come early."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from diffjax import systems
from diffjax.data import to_model
from diffjax.evaluate import evaluate
from diffjax.evaluation import classifier
from diffjax.systems import evaluation_settings as settings
from diffjax.training import System, TrainState, checkpoints


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


def _digits():
    model = {"name": "unet", "model_channels": 8, "channel_mult": (1,), "num_res_blocks": 1, "num_groups": 4,
             "attention_resolutions": (), "num_classes": 11}  # fmt: skip
    data = {"name": "digits", "shape": (8, 8, 1), "num_classes": 10}
    return _config(data, model, label_dropout=0.5)


def _points():
    return _config({"name": "ring8", "shape": (2,)}, {"name": "mlp", "width": 8, "depth": 1})


def _run(folder, config, params=None):
    """Write the folder of a run whose network is as it was initialised, unless parameters are given."""
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    params = params or systems.build(config).init(jax.random.key(0))[0]
    state = TrainState(step=jnp.int32(7), params=params, ema=params, opt_state=(), extra=())
    with checkpoints.open_manager(folder) as manager:
        checkpoints.save(manager, 7, state, data={}, meta={}, metrics={"loss": 1.0})
    return folder


def test_digits(tmp_path, monkeypatch, judge):
    monkeypatch.setattr(classifier, "fit", lambda source, held_out, seed: judge)
    folder = _run(tmp_path, _digits())
    found = evaluate(
        folder, steps=3, guidance_weights=(0.0, 0.5), bound_images=6, sweep_steps=(2, 4), progress=False
    )
    assert found == json.loads((folder / "evaluation.json").read_text())
    assert found["step"] == 7 and found["sampler"] == {"solver": "edm_heun", "steps": 3}
    assert found["real"]["class_accuracy"] == judge.accuracy
    plain, guided = found["samples"]
    assert (plain["count"], plain["network_calls"], guided["network_calls"]) == (
        40,
        5,
        10,
    )  # the last step is one call
    assert plain["frechet_ratio"] > 5 and plain["class_accuracy"] < 0.5  # an untrained network
    text = (folder / "evaluation.md").read_text()
    assert "| | held-out real | unguided | guidance weight 0.5 |" in text
    for weight in ("0", "0.5"):
        path = f"evaluation/samples_w{weight}.png"
        assert f"({path})" in text and Image.open(folder / path).size[1] == 10 * 50 + 2

    bound = found["bound"]
    assert bound["variance"] == "fixed_small" and bound["count"] == 6 and len(bound["terms"]) == 20
    parts = bound["prior"] + bound["between"] + bound["decoder"]
    assert bound["bits_per_dim"] == pytest.approx(parts, rel=1e-5)
    assert [row["steps"] for row in found["sweep"]] == [2, 4]
    assert [row["network_calls"] for row in found["sweep"]] == [3, 7]
    for name in ("bound", "sweep"):
        assert f"(evaluation/{name}.png)" in text and (folder / f"evaluation/{name}.png").is_file()


def test_points(tmp_path):
    folder = _run(tmp_path, _points())
    found = evaluate(folder, num=50, progress=False)
    untrained, real = found["samples"][0], found["real"]
    assert untrained["count"] == real["count"] == 50 and real["class_accuracy"] > 0.9
    assert untrained["sliced_wasserstein"] > 2 * real["sliced_wasserstein"]
    assert "| | held-out real | unguided |" in (folder / "evaluation.md").read_text()
    assert (folder / "evaluation" / "samples_w0.png").exists()
    assert (
        evaluate(folder, num=50, batch_size=7, progress=False)["samples"][0]["weights"]
        == (found["samples"][0]["weights"])
    )


@pytest.mark.parametrize(
    ("system", "schedule", "key", "said"),
    [
        ("ddpm", {"name": "vp_linear"}, "likelihood", "with uniform dequantisation"),
        ("vdm", {"name": "learned", "width": 4}, "continuous_bound", "| diffusion, in continuous time |"),
    ],
)
def test_bits_on_continuous_schedules(tmp_path, monkeypatch, judge, system, schedule, key, said):
    """By the ODE, or of a VDM by its bound; an untrained network needs some bits."""
    monkeypatch.setattr(classifier, "fit", lambda source, held_out, seed: judge)
    data = {"name": "digits", "shape": (8, 8, 1), "num_classes": 10}
    config = _config(data, {"name": "mlp", "width": 8, "depth": 1}, kind="eps")
    config.system, config.schedule = system, schedule
    config.sampler = {"solver": "ddim", "steps": 3}
    folder = _run(tmp_path, config)
    found = evaluate(folder, num=12, bound_images=3, progress=False)
    assert "bound" not in found and found[key]["count"] == 3
    assert found[key]["bits_per_dim"] > 1 and found[key]["standard_error"] > 0
    assert found["samples"][0]["network_calls"] == 3
    text = (folder / "evaluation.md").read_text()
    assert "## Bits per dimension" in text and said in text


def test_dequantisation_of_a_conditional_model(tmp_path, monkeypatch, judge):
    """The law is fitted with the training labels; a chain or another name is refused before the work."""
    monkeypatch.setattr(classifier, "fit", lambda source, held_out, seed: judge)
    data = {"name": "digits", "shape": (8, 8, 1), "num_classes": 10}
    config = _config(data, {"name": "mlp", "width": 8, "depth": 1, "num_classes": 10}, kind="eps")
    config.schedule, config.sampler = {"name": "vp_linear"}, {"solver": "ddim", "steps": 3}
    config.evaluation.dequantisation = "variational"
    folder = _run(tmp_path, config)
    found = evaluate(folder, num=12, bound_images=3, progress=False)
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


def test_images_without_labels(tmp_path, monkeypatch, digits):
    """Nothing can be classified then, but copies are still found: here every sample is one."""
    train, test = digits
    arrays = {"train_image": train.x, "test_image": test.x}
    np.savez(tmp_path / "digits.npz", **arrays)
    data = {"name": "npz", "shape": (8, 8, 1), "path": str(tmp_path / "digits.npz"), "labels": None}
    model = {"name": "unet", "model_channels": 8, "channel_mult": (1,), "num_groups": 4}
    params = {"x": jnp.asarray(to_model(train.x[5:21]))}
    folder = _run(tmp_path, _config(data, model), params=params)
    repeat = System(
        lambda key: (params, (), ()), None, lambda params, extra, frozen, key, cond, n: params["x"][:n]
    )
    monkeypatch.setattr(systems, "build", lambda config: repeat)
    found = evaluate(folder, progress=False)
    assert found["samples"][0]["copies"] == 1 and found["samples"][0]["nearest_median"] == 0
    assert found["real"]["copies"] == pytest.approx(0.01, abs=0.005)
    assert "frechet" not in found["real"] and "frechet" not in found["samples"][0]


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
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(key, value, message):
    config = _points()
    config.evaluation = {key: value}
    with pytest.raises(ValueError, match=rf"evaluation\.{key} must be {message}"):
        settings.read(config)


@pytest.mark.parametrize(
    ("schedule", "variance", "message"),
    [
        ({"name": "vp_linear"}, "fixed_small", "is of the bound of a chain"),
        ({"name": "cosine_beta", "num_steps": 20}, "learned", "'learned' needs a network trained for it"),
    ],
)
def test_variances_that_do_not_apply(tmp_path, schedule, variance, message):
    config = _config(
        {"name": "digits", "shape": (8, 8, 1)}, {"name": "mlp", "width": 8, "depth": 1}, kind="eps"
    )
    config.schedule, config.sampler = schedule, {"solver": "ddim", "steps": 3}
    config.evaluation = {"num_samples": 20, "bound_images": 2, "bound_variance": variance}
    with pytest.raises(ValueError, match=rf"evaluation\.bound_variance.*{message}"):
        evaluate(_run(tmp_path, config))


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
