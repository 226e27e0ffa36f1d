"""Beginning with parameters of another run or file, as far as they match."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diffjax.training import workdir as files
from diffjax.training.state import TrainState

FILE = "init_from.json"


class Values(NamedTuple):
    """What a run begins with: {name: tree}, and where it is from."""

    tree: Mapping[str, Any]
    source: str


def begin(workdir: str | Path, state: TrainState, values: Values) -> TrainState:
    """Replace parameters and carried values of a state before its first step, where paths and shapes match.

    The moving averages begin there, too; what an optimizer holds is its own. `init_from.json` in the run's
    folder lists what matched, what kept its initial value, and what was left over.

    Args:
      workdir: the run's folder.
      state: before the first step, laid out on its mesh.
      values: what it begins with.

    Returns:
      The state.

    Raises:
      ValueError: if nothing matches; it names what there is and what is wanted. And for numbers that are not
        finite, or of another kind.
    """
    given = {name: np.asarray(leaf) for name, leaf in _by_name(dict(values.tree)).items()}
    own = _by_name({**state.params, **state.extra})
    matched = {name for name in own if name in given and given[name].shape == own[name].shape}
    if not matched:
        told = lambda tree: next(
            (f"{name} {list(leaf.shape)}, ..." for name, leaf in tree.items()), "nothing"
        )
        raise ValueError(
            f"nothing of init_from {values.source!r} matches: it has {told(given)} and the system {told(own)}"
        )

    for name in matched:
        _require_numbers(f"{name} of init_from {values.source!r}", given[name], own[name].dtype)

    def place(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name not in matched:
            return leaf
        return jax.device_put(given[name].astype(leaf.dtype), leaf.sharding)

    replaced = lambda tree: jax.tree_util.tree_map_with_path(place, tree)
    averages = {track: replaced(tree) for track, tree in state.ema.items()}
    told = {
        "source": values.source,
        "matched": sorted(matched),
        "missing": sorted(set(own) - matched),
        "left_over": sorted(set(given) - matched),
    }
    if jax.process_index() == 0:
        files.write(Path(workdir) / FILE, json.dumps(told, indent=2) + "\n")
        logging.warning(
            "begins with %d arrays of %s; %d keep their initial values and %d are left over, see %s",
            len(matched), values.source, len(told["missing"]), len(told["left_over"]), FILE,
        )  # fmt: skip
    return state._replace(params=replaced(state.params), extra=replaced(state.extra), ema=averages)


def _require_numbers(what, array, wanted):
    if jnp.issubdtype(array.dtype, jnp.floating) != jnp.issubdtype(wanted, jnp.floating):
        raise ValueError(f"{what} must be of {wanted} or alike, got {array.dtype}")
    with np.errstate(over="ignore"):
        wrong = np.count_nonzero(~np.isfinite(array.astype(wanted)))
    if wrong:
        raise ValueError(f"{what} must be finite; {wrong} of its {array.size} values are not")


def _by_name(tree):
    """Return {path: leaf}, paths such as `network/Dense_0/kernel`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
