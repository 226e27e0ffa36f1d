"""Texts read by a frozen model in a folder: what is kept in a run, what is read once, what is refused."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy as safetensors
import tokenizers
from ml_collections import ConfigDict
from systems import hub

from diffjax import data, systems
from diffjax.data import tokens
from diffjax.models.transformer import TextTransformer
from diffjax.pretrained import layers, text
from diffjax.systems import text_models
from diffjax.training.system import Variables

T5 = pathlib.Path(__file__).parents[1] / "golden" / "t5_encoder"
CLIP = T5.with_name("clip_text")
CAPTIONS = ["a red apple", "the sea", "", "two cats"]
CONFIG = {
    "vocab_size": 40, "max_position_embeddings": 20, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 6,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A model of random weights in the layout of the hub."""
    place = tmp_path / "model"
    place.mkdir()
    module = TextTransformer(40, 20, 8, 1, 2, 6, norm_first=False, types=2)
    made = module.init(jax.random.key(0), np.zeros((1, 2), int))
    tensors = layers.export(made, text._layers(text._BERT))
    safetensors.save_file(tensors, place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(CONFIG))
    (place / "tokenizer.json").write_text(tokens.trained(CAPTIONS, 40).to_json())
    return place


def test_embeddings_are_of_each_text_alone(folder):
    model = text_models.Frozen(str(folder))
    alone = np.concatenate([model.embedded([each]) for each in CAPTIONS])
    many = model.embedded(CAPTIONS * 20)  # more than fit at once
    np.testing.assert_allclose(many[-4:], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), [1, 1, 0, 1], rtol=1e-4)
    hidden = model.embedded(CAPTIONS, 6)
    assert hidden.shape == (4, 6, 8) and ((hidden != 0).any(-1).sum(1) == [3, 2, 0, 2]).all()
    mean = hidden[0, :3].mean(0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), alone[0], rtol=1e-4, atol=1e-5)


@pytest.fixture
def t5(tmp_path):
    """The recorded T5 in that layout: its words are its ids, and what ends a text is among them."""
    golden, place = np.load(T5.with_suffix(".npz")), tmp_path / "t5"
    place.mkdir()
    config = json.loads(str(golden["_hyper_json"]))["config"]
    shutil.copy(T5.with_suffix(".safetensors"), place / "model.safetensors")
    (place / "config.json").write_text(json.dumps({"model_type": "t5", **config}))
    ids = {"<pad>" if i == 0 else f"w{i}": i for i in range(config["vocab_size"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<pad>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(place / "tokenizer.json"))
    return place, golden


def test_a_t5_of_a_folder_says_what_was_recorded_of_it(t5, tmp_path):
    """To 1e-4 of its library's output, token by token; and a config names it as a condition."""
    place, golden = t5
    ids, mask = golden["in__input_ids"], golden["in__attention_mask"][..., None]
    texts = [" ".join(f"w{i}" for i in row if i) for row in ids]
    expected = golden["out__last_hidden_state"] * mask
    found = text_models.Frozen(str(place)).embedded(texts, ids.shape[1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.std())
    system = systems.build(_config(place, to="vector", length=ids.shape[1]), tmp_path / "run")
    asked = system.request.of_user({"text": texts}, 3)
    np.testing.assert_array_equal(asked["text"], found)
    with pytest.raises(ValueError, match="text must be at most 20 tokens, got 21"):
        system.request.of_user({"text": texts[2] + " w1"}, 1)
    about = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(about | {"model_type": "gpt2"}))
    with pytest.raises(
        ValueError, match=r"config\.json: model_type must be one of bert, t5, clip, .*got 'gpt2'"
    ):
        text_models.Frozen(str(place))


def _clip(place, nested=False):
    """The recorded text model of a CLIP in that layout: what ends a text also fills it up."""
    golden = np.load(CLIP.with_suffix(".npz"))
    place.mkdir()
    config = json.loads(str(golden["_hyper_json"]))["config"]
    shutil.copy(CLIP.with_suffix(".safetensors"), place / "model.safetensors")
    kind = "clip" if nested else "clip_text_model"
    about = {"model_type": kind, **({"text_config": config} if nested else config)}
    (place / "config.json").write_text(json.dumps(about))
    start, end = config["bos_token_id"], config["eos_token_id"]
    hub.save_words(place, config["vocab_size"], start, end)
    return golden, hub.texts_of(golden["in__input_ids"], start, end)


@pytest.mark.parametrize("nested", [False, True])
def test_a_clip_of_a_folder_says_what_was_recorded_of_it(tmp_path, nested):
    """Its end is a word of the text, though it fills up what follows; all of a text is what its end says."""
    golden, texts = _clip(tmp_path / "clip", nested)
    model, ids = text_models.Frozen(str(tmp_path / "clip")), golden["in__input_ids"]
    np.testing.assert_array_equal(model.tokenizer(texts, 16), ids)
    np.testing.assert_array_equal(model.tokenizer.said(ids), golden["in__attention_mask"] > 0)
    expected = golden["out__masked_last_hidden_state"] * golden["in__attention_mask"][..., None]
    np.testing.assert_allclose(model.embedded(texts, 16), expected, rtol=0, atol=1e-4 * expected.std())
    pooled = golden["out__masked_pooler_output"]
    pooled = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embedded(texts), pooled, rtol=0, atol=1e-4)
    nothing = model.embedded(["", texts[0]], 16)
    assert not nothing[0].any() and not model.embedded(["", texts[0]])[0].any()
    np.testing.assert_allclose(nothing[1], expected[0], rtol=0, atol=1e-4 * expected.std())
    cut = model.tokenizer([texts[2]], 8, cut=True)
    np.testing.assert_array_equal(cut[0], [*ids[2, :7], 98])  # what is cut ends as well
    assert model.tokenizer.said(cut).all()
    assert model.tokenizer.decode(cut) == [" ".join(f"w{i}" for i in ids[2, :7])]


def _config(folder, **options):
    return ConfigDict({
        "system": "ddpm", "data": {"name": "digits", "shape": (8, 8, 1)},
        "schedule": {"name": "cosine_beta", "num_steps": 20},
        "model": {"name": "mlp", "width": 8, "depth": 1}, "objective": {},
        "sampler": {"solver": "ddim", "steps": 2},
        "conditions": {"text": {"encoder": "text_model", "model": str(folder), "drop": 0.1, **options}},
    })  # fmt: skip


def _source(captions):
    return data.Source(np.zeros((4, 8, 8, 1), np.uint8), name="four", arrays={"caption": np.array(captions)})


def test_captions_are_read_once_and_the_model_is_kept_in_the_run(folder, tmp_path, monkeypatch):
    config, run = _config(folder), tmp_path / "run"
    first = systems.build(config, run).prepare(run, _source(CAPTIONS))[1]
    shutil.rmtree(folder)
    moved = tmp_path / "moved"
    shutil.move(run, moved)
    system = systems.build(config, moved)
    asked = system.request.of_user({"text": ["two cats", ""]}, 3)
    np.testing.assert_allclose(asked["text"][[0, 1]], first["text_embedding"][[3, 2]], atol=1e-3)
    assert system.request.describe(asked) == ["two cats", "none", "two cats"]
    other = system.prepare(moved, _source(["the sea", "a sea", "two", "the sea"]))[1]
    np.testing.assert_array_equal(other["text_embedding"][[0, 3]], first["text_embedding"][[1, 1]])
    read = []
    monkeypatch.setattr(text_models.Frozen, "embedded", lambda self, texts, *a, **o: read.extend(texts))
    again = systems.build(config, moved).prepare(moved, _source(CAPTIONS))[1]
    np.testing.assert_array_equal(again["text_embedding"], first["text_embedding"])
    assert again["text_embedding"].dtype == np.float16 and not read


def test_an_empty_text_is_the_null(folder, tmp_path):
    system = systems.build(_config(folder), tmp_path / "run")
    prepared = system.prepare(tmp_path / "run", _source(CAPTIONS))[1]
    batch = prepared.gather(np.arange(4))
    v = Variables(*jax.jit(system.init)(jax.random.key(0), batch, {}))
    cond = system.request.encode(v, system.request.of_batch(v, jax.random.key(1), batch))
    null = v.params["conditions"]["embed"]["text"]["said"]["null_vector"]
    np.testing.assert_array_equal(cond.vector[2], null)
    assert (np.abs(np.asarray(cond.vector)[[0, 1, 3]] - null).max(1) > 0).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": "nowhere"}, "conditions.text: model must be 'minilm' or a folder .*lacks config.json"),
        ({"to": "tokens"}, "to must be 'vector', as network MLP takes no tokens"),
    ],
)
def test_models_that_are_none(folder, options, message):
    with pytest.raises(ValueError, match=message):
        systems.build(_config(folder, **options))


def test_a_caption_that_is_too_long_is_named(folder, tmp_path):
    system = systems.build(_config(folder, length=2, to="vector"), tmp_path / "run")
    with pytest.raises(ValueError, match="array 'caption' must be at most 2 tokens, got 3 of"):
        system.prepare(tmp_path / "run", _source(CAPTIONS))
    with pytest.raises(ValueError, match="text must be at most 2 tokens"):
        system.request.of_user({"text": "a red apple"}, 1)
