"""Our parameters as the tensors of a PyTorch network, and back, by which of its layers is which of ours.

A name of theirs may have a place for a number, as in "blocks.{}.attn.qkv": ours are then stacked on a first
axis. Several names of theirs are parts of the last axis of ours.

theirs                                ours
convolution [out, in, h, w]           [h, w, in, out]
linear [out, in]                      [in, out]
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from diffjax.pretrained.files import check_tensors, shapes_of

Names = Mapping[str, str | tuple[str, ...]]


def read(
    names: Names,
    module: nn.Module,
    inputs: tuple[jax.ShapeDtypeStruct, ...],
    tensors: Mapping[str, np.ndarray],
    besides: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Any]:
    """Make our parameters from their tensors.

    Args:
      names: of their layers, by the paths of ours.
      module: ours.
      inputs: of its call.
      tensors: theirs by name.
      besides: shapes of those that are no parameter of ours.

    Returns:
      {"params": ...} in float32.

    Raises:
      WrongTensors: unless names and shapes are exactly those of the network.
    """
    shapes = {path.removeprefix("params/"): a.shape for path, a in shapes_of(module, *inputs).items()}
    there = dict(besides or {})
    for path, shape in shapes.items():
        nothing = np.broadcast_to(np.float32(0), shape)
        there |= {name: array.shape for name, array in _theirs(names, path, nothing).items()}
    check_tensors(tensors, there)
    ours = {path: jnp.asarray(_ours(names, path, a, tensors), jnp.float32) for path, a in shapes.items()}
    return {"params": unflatten_dict(ours, sep="/")}


def write(names: Names, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make their tensors from our parameters: the inverse of `read`."""
    ours = flatten_dict(variables["params"], sep="/")
    theirs = (_theirs(names, path, np.asarray(array)) for path, array in ours.items())
    return {name: np.ascontiguousarray(array) for each in theirs for name, array in each.items()}


def _theirs(names, path, array):
    found, templates = {}, _templates(names, path)
    for template, part in zip(templates, np.split(array, len(templates), axis=-1)):
        for i, each in enumerate(part if "{}" in template else [part]):
            found[template.format(i)] = _turned(path, each, (3, 2, 0, 1))
    return found


def _ours(names, path, shape, tensors):
    def part(template):
        if "{}" not in template:
            return _turned(path, tensors[template], (2, 3, 1, 0))
        return np.stack([_turned(path, tensors[template.format(i)], (2, 3, 1, 0)) for i in range(shape[0])])

    return np.concatenate([part(template) for template in _templates(names, path)], axis=-1)


def _templates(names, path):
    layer, _, leaf = path.rpartition("/")
    there = names[layer]
    there = (there,) if isinstance(there, str) else there
    return [f"{each}.{'bias' if leaf == 'bias' else 'weight'}" for each in there]


def _turned(path, array, axes):
    if not path.endswith("/kernel"):
        return array
    return array.T if array.ndim == 2 else array.transpose(axes)
