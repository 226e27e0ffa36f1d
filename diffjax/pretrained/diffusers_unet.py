"""diffusers' U-Nets (`UNet2DModel`, `UNet2DConditionModel`) and ours: parameters, one to one both ways.

theirs                                        ours
time_embedding.linear_1, conv_in              embed/time_0, input_blocks_0_0
down_blocks.1.resnets.0.conv1                 input_blocks_4_0/in_conv
down_blocks.1.attentions.0.to_q, to_k, to_v   input_blocks_4_1/qkv, side by side
down_blocks.1.downsamplers.0.conv             input_blocks_6_0/op
mid_block.resnets.1, mid_block.attentions.0   middle_block_2, middle_block_1
up_blocks.0.upsamplers.0.conv                 output_blocks_2_1/conv
conv_norm_out, conv_out                       out_norm, out_conv

Ours is below network/ where it has classes (class_embedding is label/embedding) or tokens. What the arguments
mean is in `diffusers_config`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.published import Contextual
from diffjax.pretrained import diffusers_config, layers
from diffjax.pretrained.diffusers_config import ListedUNet
from diffjax.pretrained.guided_diffusion import TRANSFORMER, inside
from diffjax.pretrained.layers import layer, struct

_ENDS = {
    "embed/time_0": "time_embedding.linear_1",
    "embed/time_1": "time_embedding.linear_2",
    "label": "class_embedding",
    "input_blocks_0_0": "conv_in",
    "out_norm": "conv_norm_out",
    "out_conv": "conv_out",
}
_RESIDUAL = {
    "in_norm": ("norm1",),
    "in_conv": ("conv1",),
    "emb": ("time_emb_proj",),
    "out_norm": ("norm2",),
    "out_conv": ("conv2",),
    "skip": ("conv_shortcut",),
}
_PIXELS = {"norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"), "proj_out": ("to_out.0",)}
_RESAMPLE = {**_RESIDUAL, "op": ("conv",)}


@checked
def build(config: Mapping[str, Any]) -> ListedUNet | Labelled:
    """Make our network from the configuration of a `UNet2DModel`.

    Args:
      config: its arguments by name, as in its `config.json`; the optional ones may be left out.

    Returns:
      The network, called `(x, t)`, or with `num_class_embeds` a `Labelled` one, called `(x, t, label)`.

    Raises:
      ValueError: for an unknown argument, or a value we have no counterpart of.
    """
    unet, classes = diffusers_config.unconditional(**diffusers_config.public(config))
    return unet if classes is None else Labelled(unet, classes)


@checked
def build_conditional(config: Mapping[str, Any]) -> Contextual:
    """Make our network from the configuration of a `UNet2DConditionModel`; see `build`.

    Returns:
      The network, called `(x, t, context)`, with `mask=` and `label=` where there are such.
    """
    return Contextual(*diffusers_config.conditional(**diffusers_config.public(config)))


@checked
def convert(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[ListedUNet | Labelled, dict]:
    """Make our network and its parameters from a `UNet2DModel`'s.

    Args:
      tensors: the state dict, as numpy arrays; old names of attention's layers are known too.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    module = build(config)
    labelled = isinstance(module, Labelled)
    unet = module.network if labelled else module
    inputs = (*_image(unet, config, 3), *[struct(1, dtype=jnp.int32)] * labelled)
    return module, layers.convert(module, inputs, diffusers_config.renamed(tensors), _layers(unet, config))


@checked
def convert_conditional(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[Contextual, dict]:
    """Make our network and its parameters from a `UNet2DConditionModel`'s; see `convert`."""
    module = build_conditional(config)
    unet = module.network
    label = None if module.num_classes is None else struct(1, dtype=jnp.int32)
    inputs = (*_image(unet, config, 4), struct(1, 1, unet.token_features), None, label)
    return module, layers.convert(module, inputs, diffusers_config.renamed(tensors), _layers(unet, config))


@checked
def export(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make a `UNet2DModel`'s state dict from our parameters: the inverse of `convert`."""
    module = build(config)
    unet = module.network if isinstance(module, Labelled) else module
    return layers.export(variables, _layers(unet, config))


@checked
def export_conditional(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make a `UNet2DConditionModel`'s state dict from our parameters: the inverse of
    `convert_conditional`."""
    return layers.export(variables, _layers(build_conditional(config).network, config))


def _image(unet, config, channels):
    size = 2 ** (len(unet.channel_mult) - 1)
    return struct(1, size, size, config.get("in_channels", channels)), struct(1)


def _layers(unet, config):
    linear = config.get("use_linear_projection", False)
    pointwise = {"skip": 2, "project_in": 0 if linear else 2, "project_out": 0 if linear else 2}
    blocks = _blocks(unet)

    def find(path):
        if path in _ENDS:
            return layer(_ENDS[path])
        block, _, inner = path.partition("/")
        theirs, known = blocks[block]
        return layer(*(f"{theirs}.{name}" for name in inside(inner, known)), axes=pointwise.get(inner, 0))

    return find


def _blocks(unet):
    """Return {our block: (its name there, the names of its layers)}."""
    found = {}

    def stage(level, way, ours, theirs, j):
        found[f"{ours}_0"] = (f"{theirs}.resnets.{j}", _RESIDUAL)
        attention = unet.attention(level, way)
        if attention is not None:
            found[f"{ours}_1"] = (f"{theirs}.attentions.{j}", TRANSFORMER if attention.depth else _PIXELS)

    levels, n = len(unet.channel_mult), 1
    for level in range(levels):
        for j in range(unet.blocks(level)):
            stage(level, "down", f"input_blocks_{n}", f"down_blocks.{level}", j)
            n += 1
        found[f"input_blocks_{n}_0"] = (f"down_blocks.{level}.downsamplers.0", _RESAMPLE)
        n += 1

    stage(levels - 1, "middle", "middle_block", "mid_block", 0)
    found["middle_block_2"] = ("mid_block.resnets.1", _RESIDUAL)

    n = 0
    for i, level in enumerate(reversed(range(levels))):
        for j in range(unet.blocks(level) + 1):
            stage(level, "up", f"output_blocks_{n}", f"up_blocks.{i}", j)
            n += 1
        last = 1 if unet.attention(level, "up") is None else 2
        found[f"output_blocks_{n - 1}_{last}"] = (f"up_blocks.{i}.upsamplers.0", _RESAMPLE)
    return found
