"""Text models of Hugging Face's library and ours: configuration and parameters, one to one.

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

What reads nothing here is left out: BERT's pooler, tables of positions 0, 1, 2, ...
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
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
        **_common(config, "hidden_act", "gelu", "layer_norm_eps", 1e-12),
        norm_first=False, types=_count(config, "type_vocab_size", 2, least=0),
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
    config = config.get("text_config", config)
    if not isinstance(config, Mapping):
        raise ValueError(f"config: text_config must be a dict; got {config!r}")
    common = _common(config, "hidden_act", "quick_gelu", "layer_norm_eps", 1e-5)
    module = TextTransformer(**common, causal=True, end=_count(config, "eos_token_id", 49407, least=0))
    own = {n.removeprefix("text_model."): a for n, a in tensors.items() if not n.startswith("vision_model.")}
    unread = lambda name: name.startswith(("text_projection", "visual_projection", "logit_scale"))
    return module, _converted(module, _own(own, "", lambda n: unread(n) or n.endswith("position_ids")), _CLIP)


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


def _common(config, activation, usual, epsilon, small):
    """Return the fields of a `TextTransformer`, which both configs call alike."""
    name = config.get(activation, usual)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"config: {activation} must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    keys = {
        "vocab_size": "vocab_size", "length": "max_position_embeddings", "width": "hidden_size",
        "depth": "num_hidden_layers", "num_heads": "num_attention_heads", "hidden": "intermediate_size",
    }  # fmt: skip
    return {**_whole(config, keys), "activation": name, "epsilon": _small(config, epsilon, small)}


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
