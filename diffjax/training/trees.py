"""Trees of arrays: their size, and in a folder of their own."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from diffjax.training import complaints


def size_of(tree: Any) -> int:
    """Return the bytes of the arrays of a tree, or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def read_tree(path: Path) -> Any:
    """Read a tree of arrays that orbax wrote, on the default device: the writing ones need not exist."""
    complaints.silence()
    path, handler = path.absolute(), ocp.PyTreeCheckpointHandler()
    # As numpy: otherwise orbax would look for the devices that wrote it.
    kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path).tree)
    return jax.tree.map(jnp.asarray, handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=kinds)))


def write_tree(path: Path, tree: Any) -> None:
    """Write a tree of arrays for `read_tree`; the folder must not exist."""
    complaints.silence()
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as writer:
        writer.save(path.absolute(), args=ocp.args.StandardSave(jax.tree.map(np.asarray, tree)))
