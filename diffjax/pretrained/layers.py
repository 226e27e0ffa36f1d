"""Our parameters as the tensors of a PyTorch network, and back, by which of its layers is which of ours.

theirs                                     ours
convolution [out, in, h, w]                [h, w, in, out]
linear [out, in], 1x1 [out, in, 1(, 1)]    [in, out]
positions [features, places]               [places, features]
weight, bias                               kernel, scale or embedding, or a table that is no layer's; bias
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from diffjax.pretrained.files import check_tensors, shapes_of

_POSITIONS = "positional_embedding"
_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_LEAVES |= {name: name for name in (_POSITIONS, "class_embedding")}


class Layer(NamedTuple):
    """Which layer, or layers, of theirs one of ours is.

    Attributes:
      names: of it; of several, which stand one after another among our outputs. A name may have a place for a
        number, as in "blocks.{}.attn.qkv": ours are then stacked on a first axis.
      axes: spatial axes of a 1x1 convolution there that is a matrix product here.
    """

    names: tuple[str, ...]
    axes: int = 0


# Of our paths such as "input_blocks_1_0/in_conv", without the wrapper's "network/".
Layers = Callable[[str], Layer]


def layer(*names: str, axes: int = 0) -> Layer:
    """Return a `Layer` of these names."""
    return Layer(names, axes)


def convert(
    module: nn.Module,
    inputs: tuple[Any, ...],
    tensors: Mapping[str, np.ndarray],
    layers: Layers,
    besides: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Any]:
    """Make the variables of a module of a torch network's tensors.

    Args:
      module: ours.
      inputs: shapes of its call, `jax.ShapeDtypeStruct` or None.
      tensors: a state dict.
      layers: which of its layers ours are.
      besides: shapes of those of its tensors that are no parameter of ours.

    Returns:
      {"params": ...} in float32.

    Raises:
      WrongTensors: if names or shapes are not exactly those of the module.
    """
    shapes = {path.removeprefix("params/"): a.shape for path, a in shapes_of(module, *inputs).items()}
    theirs = dict(besides or {})
    for path, shape in shapes.items():
        like = np.broadcast_to(np.float32(0), shape)
        theirs |= {name: array.shape for name, array in _to_theirs(path, like, layers).items()}
    check_tensors(tensors, theirs)
    ours = {path: jnp.asarray(_to_ours(path, a, tensors, layers), jnp.float32) for path, a in shapes.items()}
    return {"params": unflatten_dict(ours, sep="/")}


def export(variables: Mapping[str, Any], layers: Layers) -> dict[str, np.ndarray]:
    """Make the state dict of a torch network of our parameters: the inverse of `convert`."""
    exported = {}
    for path, array in flatten_dict(variables["params"], sep="/").items():
        exported |= _to_theirs(path, np.asarray(array), layers)
    return {name: np.ascontiguousarray(array) for name, array in exported.items()}


def struct(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """Return the shape of an input."""
    return jax.ShapeDtypeStruct(shape, dtype)


def _find(path, layers):
    """Return the names of their tensors, what ours is ("kernel"), and the spatial axes of a 1x1 there."""
    path = path.removeprefix("network/")
    ours, _, leaf = path.rpartition("/")
    if leaf not in _LEAVES:
        ours, leaf = path, "embedding"
    names, axes = layers(ours)
    return [f"{name}.{_LEAVES[leaf]}" for name in names], leaf, axes


def kernel(array: np.ndarray) -> np.ndarray:
    """Return a kernel of PyTorch's, [out, in, h, w] or [out, in], as ours: [h, w, in, out] or [in, out]."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _to_theirs(path, array, layers):
    found, (names, leaf, axes) = {}, _find(path, layers)
    for name, part in zip(names, np.split(array, len(names), axis=-1)):
        for i, each in enumerate(part if "{}" in name else [part]):
            if leaf in ("kernel", _POSITIONS):
                each = each.transpose(3, 2, 0, 1) if each.ndim == 4 else each.T
            found[name.format(i)] = each.reshape(*each.shape, *[1] * axes) if leaf == "kernel" else each
    return found


def _to_ours(path, shape, tensors, layers):
    names, leaf, axes = _find(path, layers)

    def turned(array):
        if leaf == "kernel":
            array = array.reshape(array.shape[: array.ndim - axes])
        if leaf in ("kernel", _POSITIONS):
            return kernel(array)
        return array

    def part(name):
        if "{}" not in name:
            return turned(tensors[name])
        return np.stack([turned(tensors[name.format(i)]) for i in range(shape[0])])

    return np.concatenate([part(name) for name in names], axis=-1)
