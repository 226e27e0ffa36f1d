"""unCLIP of tiny runs: prior, decoder and a step up from one config, by a text or a picture; refusals."""

import jax
import numpy as np
import pytest
from commands.test_cascades import _config as picture
from ml_collections import ConfigDict

from diffjax import commands, evaluate, sample, systems, train
from diffjax.systems import unclip

pytestmark = pytest.mark.slow
TOKENS = {"encoder": "tokens", "length": 4, "vocab_size": 30, "width": 8, "depth": 1, "num_heads": 2}


def _captioned(file, size):
    config = picture(file, size)
    del config["conditions"]
    config.data.arrays = ("caption",)
    config.model = ConfigDict({"name": "mlp", "width": 8, "depth": 1})
    return config


def _clip(file, seed):
    config = _captioned(file, 4)
    for section in ("schedule", "sampler", "objective"):
        del config[section]
    config.system = "clip"
    config.model.update({"whole": True, "out_features": 6})
    config.conditions = ConfigDict({"text": TOKENS})
    config.training.seed = seed
    return config


def _prior(file, clip, **objective):
    config = _captioned(file, 4)
    config.system, config.clip = "prior", ConfigDict(clip)
    config.conditions = ConfigDict(
        {"text": {**TOKENS, "to": "tokens"}, "said": {"encoder": "clip_text", "clip": clip}}
    )
    config.model = ConfigDict(
        {"name": "prior", "width": 8, "depth": 1, "num_heads": 2, "token_features": 4, "length": 4}
    )
    config.objective = ConfigDict({"condition_dropout": 0.1, **objective})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 3, "tries": 2})
    config.evaluation = ConfigDict({"num_samples": 10, "batch_size": 8, "evaluators": ("retrieval",)})
    if objective:
        del config["schedule"]
        config.sampler = ConfigDict({"guidance_weight": 1.0})
    return config


def _decoder(file, clip):
    config = _captioned(file, 4)
    config.conditions = ConfigDict(
        {"image": {"encoder": "clip_image", "clip": clip, "drop": 0.1}, "text": {**TOKENS, "drop": 0.5}}
    )
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unclip")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), np.uint8)
    file, test = folder / "tiny.npz", np.arange(32) % 2 == 1
    np.savez(file, image=pixels, caption=np.array(["a cat", "a dog", "two dogs", "no cat"] * 8), is_test=test)
    clip = {"workdir": str(folder / "clip")}
    for name, config in {
        "clip": _clip(file, 0), "other": _clip(file, 1), "prior": _prior(file, clip),
        "codes": _prior(file, clip, components=3, bins=4), "decoder": _decoder(file, clip),
        "strange": _decoder(file, {"workdir": str(folder / "other")}), "up": picture(
            file, 8, image={"encoder": "low_resolution", "size": 4, "augmentation": 0.5}
        ),
    }.items():  # fmt: skip
        if name == "up":
            config.data.arrays = ()
            config.conditions = ConfigDict({"image": config.conditions.image})
        config.data.is_test = "is_test"
        train.train(config, folder / name, progress=False)
    return folder


@pytest.fixture
def config(runs):
    return ConfigDict({
        "system": "unclip",
        "data": {**_captioned(runs / "tiny.npz", 8).data.to_dict(), "is_test": "is_test"},
        "stages": {name: {"workdir": str(runs / name)} for name in ("prior", "decoder", "up")},
        "order": ("prior", "decoder", "up"), "augmentation": {"up": {"level": 0.1}}, "embedding": "prior",
    })  # fmt: skip


def _draw(config, asked, num=3, **more):
    system, variables, _ = commands.load(config)
    request = sample.request_for(system, num, asked, more=more)
    found = commands.sample_in_batches(
        system, variables, key=commands.sampling.jax.random.key(0), num=num, batch_size=3, request=request,
        progress=None,
    )  # fmt: skip
    return system, request, found


def test_of_a_text_and_of_a_picture(config, runs):
    system, request, found = _draw(config, ["text=a cat"])
    assert [each.name for each in system.passes] == ["prior/walk", "decoder/walk", "up/walk"]
    assert set(system.request.parts) == {"text", "image"} and found.x.shape == (3, 8, 8, 1)
    assert np.abs(request["prior"]["said"]).max() > 0 and not request["decoder"]["image"].any()
    one = np.random.default_rng(1).integers(0, 256, (16, 16, 1), np.uint8)  # of any size
    _, told, like = _draw(config, [], image=[one])
    np.testing.assert_allclose(np.linalg.norm(told["decoder"]["image"], axis=1), 1, rtol=1e-4)
    assert np.abs(like.raw["decoder/walk"] - found.raw["decoder/walk"]).max() > 1e-4


def test_ways_of_the_embedding(config):
    made = {}
    for way in unclip.WAYS:
        config.embedding = way
        _, request, found = _draw(config, ["text=a cat"])
        made[way] = found.raw
    np.testing.assert_allclose(made["text"]["prior/walk"], request["prior"]["said"], rtol=1e-5)
    pairs = [("prior", "text"), ("text", "none"), ("prior", "none")]
    assert all(np.abs(made[a]["decoder/walk"] - made[b]["decoder/walk"]).max() > 1e-5 for a, b in pairs)


def test_rows_of_data_ask_for_their_words_and_not_for_what_is_seen_in_them(config):
    """Else an evaluation would measure variations of real pictures, whatever the prior makes."""
    made = {}
    for way in ("prior", "none"):
        config.embedding = way
        system, variables, _ = commands.load(config)
        _, source = system.prepare(None, systems.load_data(config, "test"))
        asked = system.request.of_batch(variables, jax.random.key(0), source.gather(np.arange(4)))
        assert not np.any(asked["decoder"]["image"]) and np.abs(asked["prior"]["said"]).max() > 0
        made[way] = np.asarray(system.sample(variables, jax.random.key(0), asked, 4))
    assert np.abs(made["prior"] - made["none"]).max() > 1e-5


def test_codes_take_the_place_of_a_walk(config, runs):
    config.stages.prior.workdir = str(runs / "codes")
    system, _, found = _draw(config, ["text=a dog"])
    assert system.passes[0].calls == {"prior/network": 6} and found.raw["prior/walk"].shape == (3, 6)


def test_a_prior_is_measured_by_what_its_embeddings_find(runs, tmp_path):
    found = evaluate.evaluate(runs / "prior", out=tmp_path, progress=False)
    (scores,) = found["retrieval"].values()
    assert scores["image_to_text"]["queries"] == 16 and np.isfinite(scores["image_to_text"]["recall_1"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stages.decoder.workdir": "strange"},
            r"decoder was trained on another embedding than 'prior'",
        ),
        ({"stages.decoder.workdir": "up"}, r"stages\.decoder must be asked with 'image', an embedding"),
        ({"stages.prior.workdir": "decoder"}, r"stages\.prior must give embeddings, as system 'prior' does"),
        ({"stages.up.workdir": "decoder"}, r"stages\.up takes pictures \(6,\), and 'decoder' makes images"),
        ({"embedding": "both"}, r"config\.embedding must be one of prior, text, none; got 'both'"),
    ],
)
def test_what_does_not_fit_is_named(config, runs, changes, message):
    changes = {key: str(runs / each) if key.endswith("workdir") else each for key, each in changes.items()}
    with pytest.raises(ValueError, match=message):
        commands.load(commands.overridden(config, changes))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["text=a cat a cat a cat"], "text must be at most 4 tokens, got 6"),
        (["image=nowhere.png"], "there is no file nowhere.png"),
        (["said=a cat"], "this pipeline takes image, text; got 'said'"),
    ],
)
def test_what_a_user_asks_is_refused_before_anything_runs(config, asked, message):
    with pytest.raises(ValueError, match=message):
        sample.request_for(commands.load(config).system, 1, asked)
