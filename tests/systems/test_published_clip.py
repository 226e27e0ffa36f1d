"""A published CLIP in a folder, in the place of a trained one: what was recorded of it, copies, refusals."""

import json
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict
from systems import hub

from diffjax import data, systems
from diffjax.commands import references
from diffjax.pixels import to_model
from diffjax.systems import seen, stages


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def clip(tmp_path):
    return tmp_path / "clip", *hub.save_clip(tmp_path / "clip")


@pytest.mark.parametrize("name", ["clip_quick_gelu", "clip_gelu"])
def test_it_says_what_was_recorded_of_pictures_and_texts(tmp_path, name):
    """Pictures of 16x20, which its library's processor enlarged; one has the usual mean without a file."""
    golden, texts = hub.save_clip(tmp_path / "clip", name)
    if name == "clip_quick_gelu":
        (tmp_path / "clip" / "preprocessor_config.json").unlink()
    judge = references.judge({"pretrained": str(tmp_path / "clip")})
    assert judge is not None and judge.name == str(tmp_path / "clip")
    close = lambda found, recorded: np.testing.assert_allclose(found, _unit(recorded), rtol=0, atol=1e-5)
    close(judge.image(golden["in__pictures"]), golden["out__image_features"])
    close(judge.text(texts), golden["out__text_features"])
    assert not judge.text(["", texts[0]])[0].any()
    colours, grey = golden["in__pictures"], golden["in__pictures"][..., :1]
    np.testing.assert_array_equal(judge.image(to_model(colours)), judge.image(colours))
    np.testing.assert_array_equal(judge.image(grey), judge.image(grey.repeat(3, axis=-1)))


def _config(system, folder, **conditions):
    config = ConfigDict({
        "system": system, "data": {"name": "digits", "shape": (8, 8, 1)},
        "schedule": {"name": "cosine_beta", "num_steps": 20}, "objective": {},
        "model": {"name": "mlp", "width": 8, "depth": 1}, "sampler": {"solver": "ddim", "steps": 2},
    })  # fmt: skip
    given = {"pretrained": str(folder)}
    config.conditions = {name: {"encoder": each, "clip": given} for name, each in conditions.items()}
    if system == "prior":
        config.clip = given
    return config


def _source(texts):
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    return data.Source(x, name="four", arrays={"caption": np.array(texts)})


def test_a_prior_keeps_a_copy_and_needs_the_folder_no_more(clip, tmp_path):
    folder, golden, texts = clip
    config = _config("prior", folder, said="clip_text")
    source = systems.build(config, tmp_path / "run").prepare(tmp_path / "run", _source(texts))[1]
    np.testing.assert_allclose(source["said_read"], _unit(golden["out__text_features"]), atol=1e-5)
    shutil.rmtree(folder)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    system = systems.build(config, tmp_path / "moved")
    asked = system.request.of_user({"said": texts[:1]}, 1)
    np.testing.assert_allclose(asked["said"], source["said_read"][:1], atol=1e-6)
    assert system.prepare(tmp_path / "moved", _source(texts))[1]["clip_seen"].shape == (4, 10)


def test_a_decoder_stands_on_it(clip):
    given = {"pretrained": str(clip[0])}
    assert systems.build(_config("ddpm", clip[0], image="clip_image")).request.parts["image"].shape == (10,)
    with pytest.raises(
        ValueError, match=r"image: clip is of examples \(24, 24, 3\), and cannot see .* \(2,\)"
    ):
        config = _config("ddpm", clip[0], image="clip_image")
        config.data.shape = (2,)
        systems.build(config)
    first, second = (seen.Encoder(given, None, "config.clip") for _ in range(2))
    assert first.variables is second.variables  # read once


def test_another_one_than_was_copied_is_refused(clip, tmp_path):
    hub.save_clip(tmp_path / "other", "clip_quick_gelu")
    one, other = (
        seen.Encoder({"pretrained": str(tmp_path / name)}, tmp_path / "run", "config.clip")
        for name in ("clip", "other")
    )
    told = json.loads((tmp_path / "run/stages/clip/stage.json").read_text()) if one.variables else {}
    assert told["checksum"] == stages.checksum(one.variables)  # by which unCLIP's stages are told apart
    with pytest.raises(ValueError, match=r"config\.clip is not what was copied to .*stages/clip"):
        other.variables  # noqa: B018


def _edit(folder, name="config", **changes):
    file = folder / f"{name}.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), r"clip\.pretrained must be .* lacks tokenizer\.json"),
        (lambda f: _edit(f, model_type="bert"), r"config\.json: model_type must be 'clip', got 'bert'"),
        (lambda f: _edit(f, vision_config=None), "vision_config is missing; this CLIP has no tower of pict"),
        (lambda f: _edit(f, projection_dim=None), "config: projection_dim must be a positive integer, got N"),
        (lambda f: _edit(f, "preprocessor_config", image_std=[1, 0, 1]), "image_std must be 3 positive"),
    ],
)  # fmt: skip
def test_folders_of_something_else_are_named(clip, change, message):
    change(clip[0])
    with pytest.raises(ValueError, match=message):
        seen.Encoder({"pretrained": str(clip[0])}, None, "config.clip")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pretrained": 3}, r"config\.clip\.pretrained must be a folder, got 3"),
        ({"pretrained": "nowhere"}, r"must be a folder with config\.json, .*; nowhere lacks config\.json"),
        ({"pretrained": "nowhere", "ema": True}, "config.clip of a published CLIP has no 'ema'"),
        ({"pretrained": "nowhere", "workdir": "x"}, "config.clip must have one of workdir and pretrained"),
    ],
)
def test_sections_that_name_none(given, message):
    with pytest.raises(ValueError, match=message):
        seen.Encoder(given, None, "config.clip")


def test_a_text_that_is_too_long_is_named(clip):
    encoder = seen.Encoder({"pretrained": str(clip[0])}, None, "config.clip")
    with pytest.raises(ValueError, match="text must be at most 12 tokens, got 13 of 'w1 w1"):
        encoder.text(["w1 " * 11])
