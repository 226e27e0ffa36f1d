"""Parameters of a torch network and ours, one to one both ways: under what names, in which layout.

convolution [out, in, h, w]                [h, w, in, out]
linear [out, in], 1x1 [out, in, 1(, 1)]    [in, out]
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from diffjax.pretrained.files import check_tensors, shapes_of


class Place(NamedTuple):
    """Where one of our parameters is in a state dict.

    Attributes:
      names: of the tensor; of several, which stand one after another among our outputs.
      axes: spatial axes of a 1x1 convolution there that is a matrix product here.
    """

    names: tuple[str, ...]
    axes: int = 0


Places = Callable[[str], Place]  # of paths such as "params/input_blocks_1_0/in_conv/kernel"


def convert(
    module: nn.Module, inputs: tuple[Any, ...], tensors: Mapping[str, np.ndarray], places: Places
) -> dict[str, Any]:
    """Make the variables of a module of a torch network's tensors.

    Args:
      module: ours.
      inputs: shapes of its call, `jax.ShapeDtypeStruct` or None.
      tensors: a state dict.
      places: where our parameters are in it.

    Returns:
      {"params": ...} in float32.

    Raises:
      WrongTensors: if names or shapes are not exactly those of the module.
    """
    ours = shapes_of(module, *inputs)
    shapes = {}
    for path, leaf in ours.items():
        like = np.broadcast_to(np.float32(0), leaf.shape)
        shapes |= {name: a.shape for name, a in _to_theirs(path, like, places(path)).items()}
    check_tensors(tensors, shapes)
    params = {path: jnp.asarray(_to_ours(path, tensors, places(path)), jnp.float32) for path in ours}
    return unflatten_dict(params, sep="/")


def export(variables: Mapping[str, Any], places: Places) -> dict[str, np.ndarray]:
    """Make the state dict of a torch network of our parameters: the inverse of `convert`."""
    exported = {}
    for path, array in flatten_dict({"params": variables["params"]}, sep="/").items():
        exported |= _to_theirs(path, np.asarray(array), places(path))
    return {name: np.ascontiguousarray(array) for name, array in exported.items()}


def struct(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """Return the shape of an input."""
    return jax.ShapeDtypeStruct(shape, dtype)


def _to_theirs(path, array, place):
    leaf = path.rsplit("/", 1)[-1]
    parts = np.split(array, len(place.names), axis=-1)
    if leaf == "kernel":
        order = (3, 2, 0, 1) if array.ndim == 4 else (1, 0)
        parts = [part.transpose(order) for part in parts]
        parts = [part.reshape(*part.shape, *[1] * place.axes) for part in parts]
    elif leaf == "positional_embedding":
        parts = [part.T for part in parts]
    return dict(zip(place.names, parts))


def _to_ours(path, tensors, place):
    leaf, parts = path.rsplit("/", 1)[-1], [tensors[name] for name in place.names]
    if leaf == "kernel":
        parts = [part.reshape(part.shape[: part.ndim - place.axes]) for part in parts]
        parts = [part.transpose(2, 3, 1, 0) if part.ndim == 4 else part.T for part in parts]
    elif leaf == "positional_embedding":
        parts = [part.T for part in parts]
    return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
