"""guided-diffusion's U-Net (`UNetModel`) and ours: configuration and parameters, one to one both ways.

theirs                                     ours
time_embed.0, time_embed.2                 embed/time_0, embed/time_1
input_blocks.3.0.in_layers.2               input_blocks_3_0/in_conv
input_blocks.3.1.qkv                       input_blocks_3_1/qkv
out.0, out.2                               out_norm, out_conv

A network with classes is a `Labelled` one: ours is then below network/, and label_emb is label/embedding.

convolution [out, in, h, w]                [h, w, in, out]
linear [out, in], 1x1 [out, in, 1(, 1)]    [in, out]
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from diffjax import checks
from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.unet import UNet
from diffjax.pretrained.files import check_tensors, shapes_of

_TOP = {
    "embed/time_0": "time_embed.0",
    "embed/time_1": "time_embed.2",
    "label": "label_emb",
    "out_norm": "out.0",
    "out_conv": "out.2",
}
_RESIDUAL = {
    "in_norm": "in_layers.0",
    "in_conv": "in_layers.2",
    "emb": "emb_layers.1",
    "out_norm": "out_layers.0",
    "out_conv": "out_layers.3",
    "skip": "skip_connection",
}
# Our matrix products that are 1x1 convolutions there, and the number of their spatial axes.
_POINTWISE = {"skip": 2, "qkv": 1, "proj_out": 1}


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
    fields = {key: value for key, value in config.items() if key in UNet.__dataclass_fields__}
    for key in ("attention_resolutions", "channel_mult"):
        fields[key] = tuple(config[key])
    for key in ("num_head_channels", "num_heads_upsample"):
        fields[key] = None if config[key] == -1 else config[key]
    dtype = jnp.float16 if config["use_fp16"] else None
    unet = UNet(**fields, remat=config["use_checkpoint"], dtype=dtype)
    return unet if config["num_classes"] is None else Labelled(unet, config["num_classes"])


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
def convert(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[UNet | Labelled, dict]:
    """Make our network and its parameters from guided-diffusion's.

    Args:
      tensors: the state dict of a `UNetModel`, as numpy arrays.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    module = build(config)
    size, channels = config["image_size"], config["in_channels"]
    inputs = [((1, size, size, channels), jnp.float32), ((1,), jnp.float32), ((1,), jnp.int32)]
    used = inputs if isinstance(module, Labelled) else inputs[:2]
    ours = shapes_of(module, *(jax.ShapeDtypeStruct(*each) for each in used))
    shapes = {_name(p): _to_theirs(p, np.broadcast_to(np.float32(0), a.shape)).shape for p, a in ours.items()}
    check_tensors(tensors, shapes)
    params = {path: jnp.asarray(_to_ours(path, tensors[_name(path)]), jnp.float32) for path in ours}
    return module, unflatten_dict(params, sep="/")


@checked
def export(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make guided-diffusion's state dict from our parameters: the inverse of `convert`.

    Args:
      variables: {"params": ...} of what `build` makes.

    Returns:
      numpy arrays by guided-diffusion's names, in its layouts.
    """
    params = flatten_dict({"params": variables["params"]}, sep="/")
    return {_name(path): np.ascontiguousarray(_to_theirs(path, np.asarray(a))) for path, a in params.items()}


def _name(path: str) -> str:
    layer, leaf = path.removeprefix("params/").removeprefix("network/").rsplit("/", 1)
    if layer not in _TOP:
        block, *inner = layer.split("/")
        numbered = re.sub(r"_(?=\d)", ".", block)  # input_blocks_3_0 is input_blocks.3.0 there
        layer = ".".join([numbered, *(_RESIDUAL.get(part, part) for part in inner)])
    return f"{_TOP.get(layer, layer)}.{'bias' if leaf == 'bias' else 'weight'}"


def _to_theirs(path, array):
    *_, layer, leaf = path.split("/")
    if leaf != "kernel":
        return array
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T.reshape(*array.T.shape, *[1] * _POINTWISE.get(layer, 0))


def _to_ours(path, array):
    *_, layer, leaf = path.split("/")
    if leaf != "kernel":
        return array
    if layer in _POINTWISE:
        array = array.reshape(array.shape[:2])
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
