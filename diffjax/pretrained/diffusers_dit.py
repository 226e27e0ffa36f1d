"""diffusers' DiT (`DiTTransformer2DModel`) and ours: configuration and parameters, one to one both ways.

theirs                                                ours
pos_embed.proj                                        network/patches
transformer_blocks.3.norm1.emb.timestep_embedder      network/embed/time_0, time_1 [3]
    .linear_1, .linear_2
transformer_blocks.3.norm1.emb.class_embedder         label/embedding [:, 3 F: 4 F]
    .embedding_table
transformer_blocks.3.norm1.linear                     network/blocks/modulation/rows [3]
transformer_blocks.3.attn1.to_q, .to_k, .to_v         network/blocks/attention/qkv [3], side by side
transformer_blocks.3.attn1.to_out.0                   network/blocks/attention/out [3]
transformer_blocks.3.ff.net.0.proj, .ff.net.2         network/blocks/mlp/hidden, out [3]
proj_out_1, proj_out_2                                network/out_modulation/rows, network/out

It is the published network but for three things, which are fields of ours: each block embeds time and class
for itself, the frequencies of the time reach 1/10000, and `norm_eps` is added to the variance before the MLP.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.dit import DiT
from diffjax.pretrained import diffusers_config, layers
from diffjax.pretrained.layers import layer, struct


@checked
def build(config: Mapping[str, Any]) -> Labelled:
    """Make our network from the arguments of diffusers' `DiTTransformer2DModel`.

    Args:
      config: its arguments by name, see `arguments`; any of them may be left out. Names that begin with "_"
        are remarks of diffusers, and are left out.

    Returns:
      The network, called `(x, t, label)`. Its `t` is theirs, 0..T-1, fractions allowed. Its last label,
      `num_embeds_ada_norm`, is the null.

    Raises:
      ValueError: for an unknown argument, or a value we have no counterpart of.
    """
    config = _arguments(config)
    network = DiT(
        config["out_channels"] or config["in_channels"],
        patch_size=config["patch_size"],
        hidden_size=config["num_attention_heads"] * config["attention_head_dim"],
        depth=config["num_layers"],
        num_heads=config["num_attention_heads"],
        time_shift=1.0,
        mlp_epsilon=config["norm_eps"],
        own_embeddings=True,
    )
    return Labelled(network, config["num_embeds_ada_norm"] + 1)


@checked
def arguments(
    *,
    num_attention_heads: int = 16,
    attention_head_dim: int = 72,
    in_channels: int = 4,
    out_channels: int | None = None,
    num_layers: int = 28,
    dropout: float = 0.0,
    norm_num_groups: int = 32,
    attention_bias: bool = True,
    sample_size: int = 32,
    patch_size: int = 2,
    activation_fn: Literal["gelu-approximate"] = "gelu-approximate",
    num_embeds_ada_norm: int = 1000,
    upcast_attention: bool = False,
    norm_type: Literal["ada_norm_zero"] = "ada_norm_zero",
    norm_elementwise_affine: bool = False,
    norm_eps: float = 1e-5,
) -> dict[str, Any]:
    """Return the arguments of `DiTTransformer2DModel`, with its defaults, which are those of DiT-XL/2.

    `norm_num_groups` means nothing there, and `upcast_attention` nothing here: the softmax is always taken in
    float32.

    Raises:
      ValueError: for an unknown or wrong argument, or one of which we have no counterpart: dropout, attention
        without biases, normalisations with weights.
    """
    given = locals()
    whole = (
        "num_attention_heads",
        "attention_head_dim",
        "in_channels",
        "num_layers",
        "sample_size",
        "patch_size",
        "norm_num_groups",
    )
    for name in (*whole, "num_embeds_ada_norm", *(["out_channels"] if out_channels is not None else [])):
        checks.count(name, given[name])
    checks.positive("norm_eps", norm_eps)
    for name, only in (("dropout", 0), ("attention_bias", True), ("norm_elementwise_affine", False)):
        if given[name] != only:
            raise ValueError(f"{name} must be {only}, got {given[name]}")
    if sample_size % patch_size:
        raise ValueError(f"patch_size must divide sample_size={sample_size}, got {patch_size}")
    if num_attention_heads * attention_head_dim % 4:
        raise ValueError(
            "num_attention_heads * attention_head_dim must be a multiple of 4, "
            f"got {num_attention_heads} * {attention_head_dim}"
        )
    return given


@checked
def convert(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[Labelled, dict]:
    """Make our network and its parameters from diffusers'.

    Args:
      tensors: the state dict of a `DiTTransformer2DModel`, as numpy arrays.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters. Images of another size than `sample_size` have
      positions of their own; diffusers would stretch those of its size.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    module, config = build(config), _arguments(config)
    size = config["sample_size"]
    inputs = (struct(1, size, size, config["in_channels"]), struct(1), struct(1, dtype=jnp.int32))
    return module, layers.convert(module, inputs, tensors, _layers(config["num_layers"]))


@checked
def export(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make diffusers' state dict from our parameters: the inverse of `convert`.

    Args:
      variables: {"params": ...} of what `build` makes.

    Returns:
      numpy arrays by diffusers' names, in its layouts.
    """
    depth = len(variables["params"]["network"]["blocks"]["modulation"]["rows"]["bias"])
    return layers.export(variables, _layers(depth))


def _arguments(config):
    return arguments(**diffusers_config.public(config))


def _layers(depth):
    block, embedder = "transformer_blocks.{}", "transformer_blocks.{}.norm1.emb"
    return {
        "label": layer(*(f"{embedder.format(i)}.class_embedder.embedding_table" for i in range(depth))),
        "patches": layer("pos_embed.proj"),
        "embed/time_0": layer(f"{embedder}.timestep_embedder.linear_1"),
        "embed/time_1": layer(f"{embedder}.timestep_embedder.linear_2"),
        "blocks/modulation/rows": layer(f"{block}.norm1.linear"),
        "blocks/attention/qkv": layer(*(f"{block}.attn1.to_{each}" for each in "qkv")),
        "blocks/attention/out": layer(f"{block}.attn1.to_out.0"),
        "blocks/mlp/hidden": layer(f"{block}.ff.net.0.proj"),
        "blocks/mlp/out": layer(f"{block}.ff.net.2"),
        "out_modulation/rows": layer("proj_out_1"),
        "out": layer("proj_out_2"),
    }.__getitem__
