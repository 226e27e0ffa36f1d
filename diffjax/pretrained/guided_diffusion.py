"""guided-diffusion's networks and ours: configuration and parameters, one to one both ways.

theirs                                     ours
time_embed.0, time_embed.2                 embed/time_0, embed/time_1
input_blocks.3.0.in_layers.2               input_blocks_3_0/in_conv
input_blocks.3.1.qkv                       input_blocks_3_1/qkv
out.0, out.2                               out_norm, out_conv

A network with classes is a `Labelled` one: ours is then below network/, and label_emb is label/embedding.
`SuperResModel` is always below network/. Layouts are those of `layers`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.half_unet import HalfUNet
from diffjax.models.levels import Levels
from diffjax.models.published import SuperResolution
from diffjax.models.unet import UNet
from diffjax.pretrained import layers
from diffjax.pretrained.layers import Layer, layer, struct

_ENDS = {
    "embed/time_0": layer("time_embed.0"),
    "embed/time_1": layer("time_embed.2"),
    "label": layer("label_emb"),
    "out_norm": layer("out.0"),
    "out_conv": layer("out.2"),
}
_POOL_ENDS = {
    "adaptive": {"out": layer("out.3", axes=2)},
    "attention": {
        "out": layer("out.2"),
        "out/qkv_proj": layer("out.2.qkv_proj", axes=1),
        "out/c_proj": layer("out.2.c_proj", axes=1),
    },
    "spatial": {"out_hidden": layer("out.0"), "out": layer("out.2")},
    "spatial_v2": {"out_hidden": layer("out.0"), "out_norm": layer("out.1"), "out": layer("out.3")},
}
# Layers by their path in a block.
TRANSFORMER = {
    "project_in": ("proj_in",),
    "project_out": ("proj_out",),
    "attn1/qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "attn1/out": ("attn1.to_out.0",),
    "attn2/q": ("attn2.to_q",),
    "attn2/kv": ("attn2.to_k", "attn2.to_v"),
    "attn2/out": ("attn2.to_out.0",),
    "ff_in": ("ff.net.0.proj",),
    "ff_out": ("ff.net.2",),
}
_INSIDE = {
    **TRANSFORMER,
    "in_norm": ("in_layers.0",),
    "in_conv": ("in_layers.2",),
    "emb": ("emb_layers.1",),
    "out_norm": ("out_layers.0",),
    "out_conv": ("out_layers.3",),
    "skip": ("skip_connection",),
}
# Our matrix products that are 1x1 convolutions there, and the number of their spatial axes.
POINTWISE = {"skip": 2, "qkv": 1, "proj_out": 1, "project_in": 2, "project_out": 2}


@checked
def build(config: Mapping[str, Any]) -> UNet | Labelled:
    """Make our network from the arguments of guided-diffusion's `UNetModel`.

    Args:
      config: its arguments by name, see `arguments`; the optional ones may be left out.

    Returns:
      The network, called `(x, t)`, or with `num_classes` a `Labelled` one, called `(x, t, label)`. Its `t` is
      the one of guided-diffusion: 0..T-1, fractions allowed.

    Raises:
      ValueError: for a missing or unknown argument, or a value we have no counterpart of.
    """
    config = arguments(**config)
    unet = UNet(**fields(UNet, config))
    return unet if config["num_classes"] is None else Labelled(unet, config["num_classes"])


@checked
def build_super_resolution(config: Mapping[str, Any]) -> SuperResolution:
    """Make our network from the arguments of guided-diffusion's `SuperResModel`.

    Args:
      config: those of `UNetModel`, see `build`; `in_channels` are those of a picture, large or small.

    Returns:
      The network, called `(x, t, low_res)`, or with `num_classes` `(x, t, low_res, label)`.

    Raises:
      ValueError: see `build`.
    """
    config = arguments(**config)
    unet = UNet(**fields(UNet, config), map_channels=config["in_channels"])
    return SuperResolution(unet, config["num_classes"])


@checked
def build_classifier(config: Mapping[str, Any]) -> HalfUNet:
    """Make our network from the arguments of guided-diffusion's `EncoderUNetModel`.

    Args:
      config: those of `UNetModel`, see `build`, without `num_classes`: the classes are its `out_channels`;
        and `pool`, "adaptive" where it is left out.

    Returns:
      The network, called `(x, t)`, that gives logits.

    Raises:
      ValueError: see `build`.
    """
    pool = config.get("pool", "adaptive")
    config = arguments(**{name: value for name, value in config.items() if name != "pool"})
    if config["num_classes"] is not None:
        raise ValueError("num_classes is no argument of a classifier: its classes are out_channels")
    if pool not in _POOL_ENDS:
        raise ValueError(f"pool must be one of {', '.join(_POOL_ENDS)}, got {pool!r}")
    if pool == "attention" and config["num_head_channels"] == -1:
        raise ValueError("num_head_channels must be given for pool 'attention', got -1")
    return HalfUNet(**fields(HalfUNet, config), out_features=config["out_channels"], pool=pool)


def fields(make: type[Levels], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what complete arguments say of the fields of our network that have their names."""
    found = {name: value for name, value in config.items() if name in make.__dataclass_fields__}
    for name in ("attention_resolutions", "channel_mult"):
        found[name] = tuple(config[name])
    for name in ("num_head_channels", "num_heads_upsample"):
        found[name] = None if config[name] == -1 else config[name]
    dtype = jnp.float16 if config["use_fp16"] else None
    return {**found, "remat": config["use_checkpoint"], "dtype": dtype}


@checked
def arguments(
    *,
    image_size: int,
    in_channels: int,
    model_channels: int,
    out_channels: int,
    num_res_blocks: int,
    attention_resolutions: Sequence[int],
    dropout: float = 0.0,
    channel_mult: Sequence[float] = (1, 2, 4, 8),
    conv_resample: bool = True,
    dims: int = 2,
    num_classes: int | None = None,
    use_checkpoint: bool = False,
    use_fp16: bool = False,
    num_heads: int = 1,
    num_head_channels: int = -1,
    num_heads_upsample: int = -1,
    use_scale_shift_norm: bool = False,
    resblock_updown: bool = False,
    use_new_attention_order: bool = False,
) -> dict[str, Any]:
    """Return the arguments of `UNetModel`, with its defaults.

    `attention_resolutions` are downsampling rates, as `UNetModel` takes them; the flag of its scripts lists
    sizes in pixels instead, and the rates are `image_size // size`. -1 stands for "not given".

    Raises:
      ValueError: for a missing, unknown or wrong argument, or `dims` other than 2.
    """
    given = locals()
    if dims != 2:
        raise ValueError(f"dims must be 2 (images), got {dims}")
    whole = ("image_size", "in_channels", "model_channels", "out_channels", "num_res_blocks", "num_heads")
    optional = {"num_classes": None, "num_head_channels": -1, "num_heads_upsample": -1}
    for name in (*whole, *(name for name, unset in optional.items() if given[name] != unset)):
        checks.count(name, given[name])
    for name, values in (("channel_mult", channel_mult), ("attention_resolutions", attention_resolutions)):
        if not all(value > 0 for value in values) or (name == "channel_mult" and not values):
            raise ValueError(f"{name} must be positive numbers, got {values!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    return given


@checked
def convert(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[UNet | Labelled | SuperResolution, dict]:
    """Make our network and its parameters from guided-diffusion's.

    Args:
      tensors: the state dict of a `UNetModel`, as numpy arrays; or of a `SuperResModel`, which takes the same
        arguments and whose first convolution sees twice the `in_channels`.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    module = build(config)
    first = tensors.get("input_blocks.0.0.weight")
    if first is not None and first.shape[1:2] == (2 * config["in_channels"],):
        return convert_super_resolution(tensors, config)
    inputs = _inputs(config)
    if isinstance(module, Labelled):
        inputs = (*inputs, struct(1, dtype=jnp.int32))
    return module, layers.convert(module, inputs, tensors, layer_of)


@checked
def convert_super_resolution(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[SuperResolution, dict]:
    """Make our network and its parameters from a `SuperResModel`'s; see `convert`."""
    module = build_super_resolution(config)
    x, t = _inputs(config)
    label = None if module.num_classes is None else struct(1, dtype=jnp.int32)
    return module, layers.convert(module, (x, t, x, label), tensors, layer_of)


@checked
def convert_classifier(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[HalfUNet, dict]:
    """Make our network and its parameters from an `EncoderUNetModel`'s; see `convert`."""
    module = build_classifier(config)
    return module, layers.convert(module, _inputs(config), tensors, _with_pool(module.pool))


@checked
def export(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make guided-diffusion's state dict from our parameters: the inverse of `convert`.

    Args:
      variables: {"params": ...} of what `build` or `build_super_resolution` makes.

    Returns:
      numpy arrays by guided-diffusion's names, in its layouts.
    """
    return layers.export(variables, layer_of)


@checked
def export_classifier(variables: Mapping[str, Any], pool: str) -> dict[str, np.ndarray]:
    """Make the state dict of an `EncoderUNetModel` with that pool: the inverse of `convert_classifier`."""
    return layers.export(variables, _with_pool(pool))


def layer_of(
    path: str,
    ends: Mapping[str, Layer] = _ENDS,
    pointwise: Mapping[str, int] = POINTWISE,
) -> Layer:
    """Return which layer of guided-diffusion's or of latent diffusion's networks is at a path of ours."""
    if path in ends:
        return ends[path]
    block, _, inner = path.partition("/")
    names = (f"{dotted(block)}.{name}".removesuffix(".") for name in inside(inner, _INSIDE))
    return layer(*names, axes=pointwise.get(inner, 0))


def inside(path: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of a layer by its path in a block, also below "transformer_blocks_0/"."""
    block, _, inner = path.partition("/")
    if not block.startswith("transformer_blocks_"):
        return known.get(path, (path,))
    return tuple(f"{dotted(block)}.{name}" for name in known.get(inner, (inner,)))


def dotted(part: str) -> str:
    """Return the name of a numbered part there: input_blocks_3_0 is input_blocks.3.0."""
    return re.sub(r"_(?=\d)", ".", part)


def _with_pool(pool):
    return partial(layer_of, ends={**_ENDS, **_POOL_ENDS[pool]})


def _inputs(config):
    size, channels = config["image_size"], config["in_channels"]
    return struct(1, size, size, channels), struct(1)
