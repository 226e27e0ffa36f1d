"""Text models and CLIPs of Hugging Face's library and ours: configuration and parameters, one to one.

theirs, BERT                                 theirs, CLIP                        ours
embeddings.word_embeddings                   embeddings.token_embedding          tokens
embeddings.position_embeddings               embeddings.position_embedding       places
embeddings.token_type_embeddings                                                 types
embeddings.LayerNorm                         final_layer_norm                    norm
encoder.layer.0.attention.self.query         encoder.layers.0.self_attn.q_proj   block_0/attention/query
encoder.layer.0.attention.output.dense       encoder.layers.0.self_attn.out_proj block_0/attention/out
encoder.layer.0.attention.output.LayerNorm   encoder.layers.0.layer_norm1        block_0/norm_0
encoder.layer.0.intermediate.dense           encoder.layers.0.mlp.fc1            block_0/dense_0
encoder.layer.0.output.dense                 encoder.layers.0.mlp.fc2            block_0/dense_1
encoder.layer.0.output.LayerNorm             encoder.layers.0.layer_norm2        block_0/norm_1

of CLIP's vision_model                           ours
embeddings.class_embedding                       class_embedding
embeddings.patch_embedding                       patches
embeddings.position_embedding                    places
pre_layrnorm (so spelled)                        norm_in
post_layernorm                                   norm

What reads nothing here is left out: BERT's pooler, tables of positions 0, 1, 2, ...
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.clip import CLIP, VisionTransformer
from diffjax.models.t5 import T5Encoder
from diffjax.models.transformer import ACTIVATIONS, TextTransformer
from diffjax.pretrained import layers
from diffjax.pretrained.layers import layer, struct

_BERT = {
    "tokens": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "block_": "encoder.layer.",
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/out": "attention.output.dense",
    "norm_0": "attention.output.LayerNorm",
    "dense_0": "intermediate.dense",
    "dense_1": "output.dense",
    "norm_1": "output.LayerNorm",
}
_CLIP = {
    "tokens": "embeddings.token_embedding",
    "places": "embeddings.position_embedding",
    "norm": "final_layer_norm",
    "block_": "encoder.layers.",
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/out": "self_attn.out_proj",
    "norm_0": "layer_norm1",
    "dense_0": "mlp.fc1",
    "dense_1": "mlp.fc2",
    "norm_1": "layer_norm2",
}
_VISION = _CLIP | {
    "": "embeddings",  # of the class token, which is no layer's
    "patches": "embeddings.patch_embedding",
    "norm_in": "pre_layrnorm",
    "norm": "post_layernorm",
}
_T5 = {
    "tokens": "shared",
    "places": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "norm": "encoder.final_layer_norm",
    "block_": "encoder.block.",
    "attention/query": "layer.0.SelfAttention.q",
    "attention/key": "layer.0.SelfAttention.k",
    "attention/value": "layer.0.SelfAttention.v",
    "attention/out": "layer.0.SelfAttention.o",
    "norm_0": "layer.0.layer_norm",
    "gate": "layer.1.DenseReluDense.wi_0",
    "dense_0": "layer.1.DenseReluDense.wi_1",
    "dense_1": "layer.1.DenseReluDense.wo",
    "norm_1": "layer.1.layer_norm",
}


@checked
def bert(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[nn.Module, dict]:
    """Make our network and its parameters of a BERT, whose config is its `config.json`.

    Returns:
      (module, {"params": ...}), `module.apply(variables, ids, mask)` the hidden states of the last layer.

    Raises:
      ValueError: for another kind of config, or tensors that are not its.
    """
    _require(config, "position_embedding_type", "absolute")
    module = TextTransformer(
        **_table(config), **_blocks(config, "gelu", 1e-12), norm_first=False,
        types=_count(config, "type_vocab_size", 2, least=0),
    )  # fmt: skip
    unread = lambda name: name.startswith(("pooler.", "cls.")) or name.endswith("position_ids")
    return module, _converted(module, _own(tensors, "bert.", unread), _BERT)


@checked
def clip_text(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[nn.Module, dict]:
    """Make our network and its parameters of a CLIP's text model, whose config is its `config.json`.

    Returns:
      (module, {"params": ...}), `module.apply(variables, ids, mask)` the hidden states after the last norm;
      `method="pooled"` that of each text's end, `method="layers"` those of every layer.

    Raises:
      ValueError: for another kind of config, or tensors that are not its.
    """
    module = _clip_text(_within(config, "text_config") if "text_config" in config else config)
    own = {n.removeprefix("text_model."): a for n, a in tensors.items() if not n.startswith("vision_model.")}
    unread = lambda name: name.startswith(("text_projection", "visual_projection", "logit_scale"))
    return module, _converted(module, _own(own, "", lambda n: unread(n) or n.endswith("position_ids")), _CLIP)


@checked
def clip(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[CLIP, dict]:
    """Make our network and its parameters of a CLIP, whose config is its `config.json`.

    Returns:
      (module, {"params": ...}), `module.apply(variables, x, method="image")` the projected features [B, D] of
      pictures, `module.apply(variables, ids, method="text")` those of texts, both of any norm.

    Raises:
      ValueError: for another kind of config, or tensors that are not its.
    """
    module = _clip(config)
    unread = lambda name: name == "logit_scale" or name.endswith("position_ids")
    towers = {"vision_model": _layers(_VISION), "text_model": _layers(_CLIP)}

    def find(path):
        part, _, inner = path.partition("/")
        if part not in towers:
            return layer(part)  # a projection, called alike
        return layer(*(f"{part}.{name}" for name in towers[part](inner).names))

    return module, layers.convert(module, _seen_and_read(module, config), _own(tensors, "", unread), find)


def describe(architecture: str, config: Mapping[str, Any]) -> tuple[CLIP, dict[str, Any]]:
    """Return our network of a CLIP, and the shapes of its variables."""
    del architecture
    module = _clip(config)
    return module, dict(jax.eval_shape(module.init, jax.random.key(0), *_seen_and_read(module, config)))


@checked
def t5(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[nn.Module, dict]:
    """Make our network and its parameters of a T5's encoder, whose config is its `config.json`.

    Returns:
      (module, {"params": ...}), `module.apply(variables, ids, mask)` the hidden states after the last norm.

    Raises:
      ValueError: for another kind of config, or tensors that are not its.
    """
    kind = str(config.get("feed_forward_proj", "relu"))
    is_gated, activation = kind.startswith("gated-"), kind.removeprefix("gated-")
    if kind == "gated-gelu":
        activation = "gelu_new"  # as the library reads it
    if activation not in ACTIVATIONS:
        raise ValueError(f"config: feed_forward_proj must be of {', '.join(ACTIVATIONS)}; got {kind!r}")
    buckets = _count(config, "relative_attention_num_buckets", 32, least=4)
    keys = {
        "vocab_size": "vocab_size", "width": "d_model", "depth": "num_layers", "num_heads": "num_heads",
        "head_features": "d_kv", "hidden": "d_ff",
    }  # fmt: skip
    module = T5Encoder(
        **_whole(config, keys), gated=is_gated, activation=activation,
        epsilon=_small(config, "layer_norm_epsilon", 1e-6), buckets=buckets,
        farthest=_count(config, "relative_attention_max_distance", 128, least=buckets // 4 + 1),
    )  # fmt: skip
    names = dict(_T5) if is_gated else _T5 | {"dense_0": "layer.1.DenseReluDense.wi"}
    unread = lambda name: name.startswith(("decoder.", "lm_head.")) or name == "encoder.embed_tokens.weight"
    return module, _converted(module, _own(tensors, "", unread), names)


def _require(config, key, value):
    if config.get(key, value) != value:
        raise ValueError(f"config: {key} must be {value!r}; got {config[key]!r}")


def _within(config, key):
    """Return a config's section of one tower."""
    if not isinstance(config.get(key), Mapping):
        raise ValueError(f"config: {key} must be a dict; got {config.get(key)!r}")
    return config[key]


def _clip(config) -> CLIP:
    vision = _within(config, "vision_config")
    sides = _whole(vision, {"size": "image_size", "patch": "patch_size"})
    return CLIP(
        VisionTransformer(**sides, **_blocks(vision, "quick_gelu", 1e-5)),
        _clip_text(_within(config, "text_config")),
        _count(config, "projection_dim", None),
    )


def _clip_text(config) -> TextTransformer:
    end = _count(config, "eos_token_id", 49407, least=0)
    return TextTransformer(**_table(config), **_blocks(config, "quick_gelu", 1e-5), causal=True, end=end)


def _seen_and_read(module, config):
    """Return the shapes of a picture and a text."""
    size, channels = module.vision_model.size, _count(config["vision_config"], "num_channels", 3)
    return struct(1, size, size, channels), struct(1, 2, dtype=jnp.int32)


def _table(config):
    return _whole(config, {"vocab_size": "vocab_size", "length": "max_position_embeddings"})


def _blocks(config, usual, small):
    """Return the fields of a transformer's blocks, which all but T5 call alike."""
    name = config.get("hidden_act", usual)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"config: hidden_act must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    keys = {
        "width": "hidden_size", "depth": "num_hidden_layers", "num_heads": "num_attention_heads",
        "hidden": "intermediate_size",
    }  # fmt: skip
    epsilon = _small(config, "layer_norm_eps", small)
    return {**_whole(config, keys), "activation": name, "epsilon": epsilon}


def _whole(config, keys) -> dict[str, Any]:
    """Return {our name: number} of a config's counts by {our name: theirs}."""
    return {ours: _count(config, theirs, None) for ours, theirs in keys.items()}


def _count(config, key, usual, least=1):
    return checks.count(f"config: {key}", config.get(key, usual), least)


def _small(config, key, usual):
    value = config.get(key, usual)
    if not isinstance(value, float | int):
        raise ValueError(f"config: {key} must be a number; got {value!r}")
    checks.positive(f"config: {key}", value)
    return value


def _own(tensors, prefix, unread):
    own = {name.removeprefix(prefix): array for name, array in tensors.items()}
    return {name: array for name, array in own.items() if not unread(name)}


def _layers(names):
    """Return path -> `Layer`: what theirs is called where ours is at `path`."""

    def find(path):
        block, _, inner = path.partition("/")
        if not block.startswith("block_"):
            return layer(names[path])
        return layer(f"{names['block_']}{block.removeprefix('block_')}.{names[inner]}")

    return find


def _converted(module, tensors, names):
    return layers.convert(module, (struct(1, 2, dtype=jnp.int32),), tensors, _layers(names))
