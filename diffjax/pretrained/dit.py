"""The published DiT and ours: configuration and parameters, one to one both ways.

theirs                                ours
x_embedder.proj                       network/patches
t_embedder.mlp.0, .2                  network/embed/time_0, time_1
y_embedder.embedding_table            label/embedding: the last row is the null label
blocks.3.adaLN_modulation.1           network/blocks/modulation/rows [3]: blocks are stacked
blocks.3.attn.qkv, .proj              network/blocks/attention/qkv, out [3]
blocks.3.mlp.fc1, .fc2                network/blocks/mlp/hidden, out [3]
final_layer.adaLN_modulation.1        network/out_modulation/rows
final_layer.linear                    network/out
pos_embed                             no parameter: the fixed table of positions

Their `forward_with_cfg` guides the first three channels of the output only, whatever the number of channels
is: of the four of a latent's noise the last stays that of the condition. `guidance.classifier_free` guides
all of it.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.conditions import Labelled
from diffjax.models.dit import DiT
from diffjax.models.embeddings import sincos_2d
from diffjax.pretrained import layers
from diffjax.pretrained.files import WrongTensors
from diffjax.pretrained.layers import layer, struct

_LAYERS = {
    "label": layer("y_embedder.embedding_table"),
    "patches": layer("x_embedder.proj"),
    "embed/time_0": layer("t_embedder.mlp.0"),
    "embed/time_1": layer("t_embedder.mlp.2"),
    "blocks/modulation/rows": layer("blocks.{}.adaLN_modulation.1"),
    "blocks/attention/qkv": layer("blocks.{}.attn.qkv"),
    "blocks/attention/out": layer("blocks.{}.attn.proj"),
    "blocks/mlp/hidden": layer("blocks.{}.mlp.fc1"),
    "blocks/mlp/out": layer("blocks.{}.mlp.fc2"),
    "out_modulation/rows": layer("final_layer.adaLN_modulation.1"),
    "out": layer("final_layer.linear"),
}
_POSITIONS = "pos_embed"


@checked
def build(config: Mapping[str, Any]) -> Labelled:
    """Make our network from the arguments of the published `DiT`.

    Args:
      config: its arguments by name, see `arguments`; any of them may be left out.

    Returns:
      The network, called `(x, t, label)`. Its `t` is the published one, 0..T-1, fractions allowed. Its last
      label, `num_classes`, is the null, unless `class_dropout_prob` is 0.

    Raises:
      ValueError: for an unknown argument, or a wrong value.
    """
    config = arguments(**config)
    fields = ("patch_size", "hidden_size", "depth", "num_heads", "mlp_ratio")
    channels = config["in_channels"] * (2 if config["learn_sigma"] else 1)
    network = DiT(channels, **{name: config[name] for name in fields})
    return Labelled(network, config["num_classes"] + (config["class_dropout_prob"] > 0))


@checked
def arguments(
    *,
    input_size: int = 32,
    patch_size: int = 2,
    in_channels: int = 4,
    hidden_size: int = 1152,
    depth: int = 28,
    num_heads: int = 16,
    mlp_ratio: float = 4.0,
    class_dropout_prob: float = 0.1,
    num_classes: int = 1000,
    learn_sigma: bool = True,
) -> dict[str, Any]:
    """Return the arguments of the published `DiT`, with its defaults, which are those of DiT-XL/2.

    Raises:
      ValueError: for an unknown or wrong argument, or sizes that do not fit each other.
    """
    given = locals()
    for name in (
        "input_size",
        "patch_size",
        "in_channels",
        "hidden_size",
        "depth",
        "num_heads",
        "num_classes",
    ):
        checks.count(name, given[name])
    checks.positive("mlp_ratio", mlp_ratio)
    if not 0 <= class_dropout_prob <= 1:
        raise ValueError(f"class_dropout_prob must be in [0, 1], got {class_dropout_prob}")
    if input_size % patch_size:
        raise ValueError(f"patch_size must divide input_size={input_size}, got {patch_size}")
    if hidden_size % num_heads or hidden_size % 4:
        raise ValueError(
            f"hidden_size must be a multiple of 4 and of num_heads={num_heads}, got {hidden_size}"
        )
    return given


@checked
def convert(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[Labelled, dict]:
    """Make our network and its parameters from the published ones.

    Args:
      tensors: the state dict of a `DiT`, as numpy arrays.
      config: the arguments it was built with; see `build`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for, or the positions
        are not those of the fixed table.
    """
    module, table = build(config), _positions(config)
    variables = layers.convert(
        module, _inputs(config), tensors, _LAYERS.__getitem__, {_POSITIONS: table.shape}
    )
    off = np.abs(tensors[_POSITIONS].astype(np.float64) - table).max()
    if off > 1e-3:  # half precision rounds them by half of that
        raise WrongTensors(
            f"checkpoint: {_POSITIONS} must be the fixed table of sines and cosines; it is {off:.2g} off"
        )
    return module, variables


@checked
def export(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make the published state dict from our parameters: the inverse of `convert`.

    Args:
      variables: {"params": ...} of what `build` makes.
      config: as there.

    Returns:
      numpy arrays by the published names, in the published layouts.
    """
    tensors = layers.export(variables, _LAYERS.__getitem__)
    return {_POSITIONS: _positions(config).astype(np.float32), **tensors}


def _positions(config):
    config = arguments(**config)
    return sincos_2d(config["hidden_size"], config["input_size"] // config["patch_size"])[None]


def _inputs(config):
    config = arguments(**config)
    size = config["input_size"]
    return struct(1, size, size, config["in_channels"]), struct(1), struct(1, dtype=jnp.int32)
