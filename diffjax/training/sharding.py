"""Where arrays live: one mesh, rules that lay out a state on it, and batches split over it."""

import functools
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax import checks
from diffjax.border import checked

Rule = Callable[[str, Any], P]

BATCH_AXES = ("data", "fsdp")


@checked
def make_mesh(
    data: int | None = None,
    fsdp: int = 1,
    tensor: int = 1,
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Mesh:
    """Arrange devices in a mesh with axes `data`, `fsdp` and `tensor`.

    The batch is split over `data` and `fsdp`; parameters over `fsdp` and `tensor`, where a rule says so.

    Args:
      data: devices along `data`; None: all that the other axes leave.
      fsdp: devices along `fsdp`.
      tensor: devices along `tensor`.
      devices: the devices; None: all of all processes.

    Returns:
      The mesh; its axes are of type Auto, so the compiler places the collectives.

    Raises:
      ValueError: if an axis is no positive integer, or they do not multiply to the number of devices.
    """
    for name, ways in (("data", data), ("fsdp", fsdp), ("tensor", tensor)):
        if ways is not None:
            checks.count(name, ways)
    count = len(devices) if devices is not None else jax.device_count()
    data = max(count // (fsdp * tensor), 1) if data is None else data
    if data * fsdp * tensor != count:
        raise ValueError(f"mesh data={data} x fsdp={fsdp} x tensor={tensor} does not use the {count} devices")
    return jax.make_mesh(
        (data, fsdp, tensor), (*BATCH_AXES, "tensor"), axis_types=(AxisType.Auto,) * 3, devices=devices
    )


def replicated(path: str, leaf: Any) -> P:
    """Rule: every device holds the whole array.

    Args:
      path: the leaf's place in the tree, such as `params/Dense_0/kernel`.
      leaf: anything with a shape.

    Returns:
      The empty partition.
    """
    del path, leaf
    return P()


def fsdp(mesh: Mesh, min_size: int = 2**14) -> Rule:
    """Make the rule that splits each large array along its largest dimension that divides over `fsdp`.

    The rule reads shapes alone, so parameters, their average and the optimizer's moments are laid out alike.

    Args:
      mesh: mesh with an axis `fsdp`.
      min_size: arrays of fewer elements are replicated.

    Returns:
      The rule; on an axis of one device it replicates.
    """

    def rule(path: str, leaf: Any) -> P:
        del path
        return P(*_along_fsdp(leaf.shape, mesh.shape["fsdp"], min_size))

    return rule


def _along_fsdp(shape, ways, min_size, taken=()):
    """Return the axes of an array's dimensions as far as the one that is split, the largest that may be."""
    free = [i for i, size in enumerate(shape) if size % ways == 0 and i not in taken]
    if ways == 1 or not free or math.prod(shape) < min_size:
        return []
    return [None] * max(free, key=lambda i: shape[i]) + ["fsdp"]


# Layers that are split along what they give, and those that sum over it: of attention, MLPs, residual blocks.
_GIVING = r"(^|/)(qkv|q|kv|hidden|hidden_\d*[02468]|ff_in|project_in|in_conv)/(kernel|bias)$"
_TAKING = r"(^|/)(out|proj_out|hidden_\d*[13579]|ff_out|project_out|out_conv)/kernel$"


def by_layer(mesh: Mesh, min_size: int = 2**14) -> Rule:
    """Make the rule of FSDP that splits pairs of layers over `tensor` besides, as Megatron does.

    Of two layers, one after the other, the first is split along its outputs and the second along its inputs:
    every device has some of the heads or hidden units. Layers of U-Nets, transformers and MLPs are known by
    their names.

    Args:
      mesh: mesh with axes `fsdp` and `tensor`.
      min_size: arrays of fewer elements are not split over `fsdp`.

    Returns:
      The rule; where `tensor` is one device it is that of `fsdp`.

    Reference: Shoeybi et al. 2019, section 3.
    """
    ways, ways_fsdp = mesh.shape["tensor"], mesh.shape["fsdp"]

    def rule(path: str, leaf: Any) -> P:
        axis = -1 if re.search(_GIVING, path) else -2 if re.search(_TAKING, path) else None
        rank = len(leaf.shape)
        if ways == 1 or axis is None or rank < -axis or leaf.shape[axis] % ways:
            return P(*_along_fsdp(leaf.shape, ways_fsdp, min_size))
        spec = _along_fsdp(leaf.shape, ways_fsdp, min_size, taken=(rank + axis,))
        spec += [None] * (rank - len(spec))
        spec[axis] = "tensor"
        return P(*spec)

    return rule


def by_path(patterns: Sequence[tuple[str, P]], otherwise: Rule = replicated) -> Rule:
    """Make a rule of regular expressions, the first that is found in the path deciding.

    The optimizer's moments repeat the paths of the parameters, so that one pattern lays out all of them.

    Args:
      patterns: pairs of expression and partition, such as `("mlp/up/kernel", P(None, "tensor"))`.
      otherwise: rule for paths without a match.

    Returns:
      The rule.
    """

    def rule(path: str, leaf: Any) -> P:
        for pattern, spec in patterns:
            if re.search(pattern, path) and len(spec) <= len(leaf.shape):
                return spec
        return otherwise(path, leaf)

    return rule


def shardings(mesh: Mesh, tree: Any, rule: Rule) -> Any:
    """Lay out a tree on the mesh.

    Args:
      mesh: the mesh.
      tree: pytree of arrays or `jax.ShapeDtypeStruct`.
      rule: `rule(path, leaf) -> PartitionSpec`.

    Returns:
      Pytree of `NamedSharding`, of the same structure.
    """

    def place(path, leaf):
        return NamedSharding(mesh, rule(jax.tree_util.keystr(path, simple=True, separator="/"), leaf))

    return jax.tree_util.tree_map_with_path(place, tree)


def described(mesh: Mesh, tree: Any, rule: Rule) -> Any:
    """Return the shapes and dtypes of a tree with their places on the mesh: `jax.ShapeDtypeStruct`."""
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        tree,
        shardings(mesh, tree, rule),
    )


def told(mesh: Mesh, function: Callable) -> Callable:
    """Tell a function that is to be compiled which mesh it is for, as long as it is traced.

    Kernels that the compiler cannot split over devices ask for it and split themselves, see `models.splash`.

    Args:
      mesh: the mesh.
      function: what is compiled.
    """
    if mesh.size == 1:
        return function

    @functools.wraps(function)
    def traced(*args, **kwargs):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return traced


def mesh_of(tree: Any) -> Mesh:
    """Return the mesh that the arrays of a tree live on; of one device if they say none."""
    places = (getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(tree))
    found = (place.mesh for place in places if isinstance(place, NamedSharding))
    found = (mesh for mesh in found if isinstance(mesh, Mesh))
    return next(found, None) or make_mesh(devices=jax.devices()[:1])


def in_use(places: Any) -> Any:
    """Return where parameters are while they are computed with: whole along `fsdp`.

    Said, not left to the compiler: XLA's partitioner (of JAX 0.10) makes wrong gradients where a matrix is
    split over `fsdp` and `tensor` and a batch over `data` and `fsdp`.

    Args:
      places: pytree of `NamedSharding`, where they live.
    """

    def along(axes):
        kept = tuple(axis for axis in (axes if isinstance(axes, tuple) else (axes,)) if axis != "fsdp")
        return kept if len(kept) > 1 else kept[0] if kept else None

    return jax.tree.map(lambda place: NamedSharding(place.mesh, P(*map(along, place.spec))), places)


def rows(path: str, leaf: Any) -> P:
    """Split a batch's rows over `data` and `fsdp`."""
    del path, leaf
    return P(BATCH_AXES)


def put_batch(mesh: Mesh, batch: Any) -> Any:
    """Split a batch over the mesh.

    Args:
      mesh: the mesh.
      batch: pytree of host arrays `[b, ...]`, the rows that this process read.

    Returns:
      Arrays `[B, ...]` split over `data` and `fsdp`, where B counts the rows of all processes.

    Raises:
      ValueError: if the rows do not divide over the devices.
    """
    sharding = NamedSharding(mesh, P(BATCH_AXES))
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    processes = _processes(mesh)

    def put(rows):
        if isinstance(rows, jax.Array) and rows.sharding == sharding:
            return rows
        if rows.shape[0] * processes % ways:
            axes = " x ".join(BATCH_AXES)
            raise ValueError(
                f"batch of {rows.shape[0] * processes} rows does not divide over the {ways} devices of {axes}"
            )
        return jax.make_array_from_process_local_data(sharding, rows)

    return jax.tree.map(put, batch)


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Lay out what every process has a whole copy of, arrays or random keys.

    Args:
      tree: pytree of arrays, the same on every process.
      sharding: of each of them, over devices of any number of processes.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data, kind = put(jax.random.key_data(leaf)), jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(data, impl=kind)
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree)


def fetch(tree: Any) -> Any:
    """Return arrays on the host, whole on every process; all processes call this."""
    if all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        return jax.device_get(tree)
    from jax.experimental import multihost_utils  # a process alone starts without

    return multihost_utils.process_allgather(tree, tiled=True)


def feeder(mesh: Mesh) -> Callable[[Any], Any]:
    """Make the function that turns a batch into what a compiled step takes.

    Rows of numpy stay as they are where one process has them all: the step splits them itself, at a tenth of
    what `put_batch` costs.

    Args:
      mesh: the mesh.
    """
    if _processes(mesh) > 1:
        return partial(put_batch, mesh)
    sharding = NamedSharding(mesh, P(BATCH_AXES))

    def feed(batch):
        if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(batch)):
            return batch
        return jax.device_put(batch, sharding)

    return feed


def _processes(mesh: Mesh) -> int:
    return len({device.process_index for device in mesh.devices.flat})
