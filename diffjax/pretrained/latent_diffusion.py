"""Latent diffusion's U-Net (`UNetModel` with `SpatialTransformer`) and ours.

It grew from guided-diffusion's and has its names; what is new there:

theirs                                          ours
input_blocks.1.1.proj_in                        network/input_blocks_1_1/project_in
input_blocks.1.1.transformer_blocks.0.attn1     network/input_blocks_1_1/transformer_blocks_0/attn1
....attn1.to_q, to_k, to_v; to_out.0            .../qkv, side by side; out
....attn2.to_q; to_k, to_v; to_out.0            .../q; kv, side by side; out
....ff.net.0.proj, ff.net.2                     .../ff_in, ff_out
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.published import Contextual
from diffjax.models.unet import UNet
from diffjax.pretrained import guided_diffusion, layers
from diffjax.pretrained.layers import struct

_NEW = (
    *("use_spatial_transformer", "transformer_depth", "context_dim", "n_embed", "legacy"),
    "use_linear_in_transformer",
)


@checked
def build(config: Mapping[str, Any]) -> UNet | Labelled | Contextual:
    """Make our network from the arguments of latent diffusion's `UNetModel`.

    Args:
      config: its arguments by name, see `arguments`; the optional ones may be left out.

    Returns:
      The network, called `(x, t, context)`; without `use_spatial_transformer` one of guided-diffusion's kind,
      called `(x, t)` or with classes `(x, t, label)`.

    Raises:
      ValueError: for a missing or unknown argument, or a value we have no counterpart of.
    """
    config = arguments(**config)
    attends, heads = config["use_spatial_transformer"], config["num_heads"]
    fields = guided_diffusion.fields(UNet, {**config, "num_heads": 1 if heads == -1 else heads})
    if attends or not config["legacy"]:  # where that network takes no notice of it
        fields["num_heads_upsample"] = None
    for name in ("num_res_blocks", "transformer_depth"):
        value = config[name]
        fields[name] = tuple(value) if isinstance(value, Sequence) else value
    unet = UNet(**{**fields, "token_features": config["context_dim"]})
    if attends:
        return Contextual(unet, config["num_classes"])
    return unet if config["num_classes"] is None else Labelled(unet, config["num_classes"])


@checked
def arguments(
    *,
    image_size: int,
    in_channels: int,
    model_channels: int,
    out_channels: int,
    num_res_blocks: int | Sequence[int],
    attention_resolutions: Sequence[int],
    dropout: float = 0.0,
    channel_mult: Sequence[int] = (1, 2, 4, 8),
    conv_resample: bool = True,
    dims: int = 2,
    num_classes: int | None = None,
    use_checkpoint: bool = False,
    use_fp16: bool = False,
    num_heads: int = -1,
    num_head_channels: int = -1,
    num_heads_upsample: int = -1,
    use_scale_shift_norm: bool = False,
    resblock_updown: bool = False,
    use_new_attention_order: bool = False,
    use_spatial_transformer: bool = False,
    transformer_depth: int | Sequence[int] = 1,
    context_dim: int | None = None,
    n_embed: int | None = None,
    legacy: bool = True,
    use_linear_in_transformer: bool = False,
) -> dict[str, Any]:
    """Return the arguments of `UNetModel`, with its defaults; see guided-diffusion's of that name.

    The last one is of Stable Diffusion 2's, which also takes `num_res_blocks` and `transformer_depth` level
    by level.

    Raises:
      ValueError: for a missing, unknown or wrong argument, or one we have no counterpart of.
    """
    given = locals()
    levels = len(channel_mult)
    for name in ("num_res_blocks", "transformer_depth"):
        values = given[name] if isinstance(given[name], Sequence) else [given[name]]
        if len(values) not in (1, levels):
            raise ValueError(f"{name} must be one number or one for each of {levels} levels, got {values!r}")
        for value in values:
            checks.count(name, value)
    if num_heads == num_head_channels == -1:
        raise ValueError("num_heads or num_head_channels must be given, got -1 and -1")
    if n_embed is not None:
        raise ValueError(f"n_embed must be None: codes are not predicted, got {n_embed}")
    if levels and channel_mult[0] != 1:
        raise ValueError(f"channel_mult must begin with 1, got {channel_mult!r}")
    if use_spatial_transformer != (context_dim is not None):
        wanted = "given with" if use_spatial_transformer else "None without"
        raise ValueError(f"context_dim must be {wanted} use_spatial_transformer, got {context_dim}")
    if context_dim is not None:
        checks.count("context_dim", context_dim)
    known = {name: value for name, value in given.items() if name not in _NEW}
    heads = 1 if num_heads == -1 else num_heads
    guided_diffusion.arguments(**{**known, "num_res_blocks": 1, "num_heads": heads})
    return given


@checked
def convert(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[UNet | Labelled | Contextual, dict]:
    """Make our network and its parameters from latent diffusion's.

    Args:
      tensors: the state dict of a `UNetModel`, as numpy arrays.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    module = build(config)
    size, classes = config["image_size"], config.get("num_classes")
    inputs = [struct(1, size, size, config["in_channels"]), struct(1)]
    if isinstance(module, Contextual):
        inputs += [struct(1, 1, config["context_dim"]), None]
    inputs += [] if classes is None else [struct(1, dtype=jnp.int32)]
    return module, layers.convert(module, tuple(inputs), tensors, _layers(config))


@checked
def export(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make latent diffusion's state dict from our parameters: the inverse of `convert`."""
    return layers.export(variables, _layers(config))


def _layers(config):
    linear = {"project_in": 0, "project_out": 0} if config.get("use_linear_in_transformer") else {}
    return partial(guided_diffusion.layer_of, pointwise={**guided_diffusion.POINTWISE, **linear})
