"""One network call for several conditions: they are stacked on a new axis."""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.process.level import NoiseLevel
from diffjax.process.prediction import Denoiser, Prediction
from diffjax.types import Array


def check(null: Any, cond: Any, batch: int) -> None:
    """Raise ValueError unless cond is of the null's structure and kind, for a batch."""
    given, wanted = jax.tree.structure(cond), jax.tree.structure(null)
    if given != wanted or not jax.tree.leaves(cond):
        raise ValueError(f"cond must hold arrays in the structure of null, {wanted}; got {given}")
    for none, leaf in zip(jax.tree.leaves(null), jax.tree.leaves(cond)):
        if isinstance(none, str):
            raise ValueError(f"null must hold numbers, got {none!r}")
        shape, kind, none_kind = jnp.shape(leaf), jnp.result_type(leaf), jnp.result_type(none)
        if shape and shape[0] != batch:
            raise ValueError(f"cond must hold [B, ...] for {batch} samples, got shape {list(shape)}")
        if jnp.issubdtype(none_kind, jnp.inexact) and not jnp.issubdtype(kind, jnp.inexact):
            raise ValueError(f"null must be of the kind of cond, {kind}; got {none_kind}")
        if jnp.ndim(none) > len(shape) or any(
            n not in (1, c) for n, c in zip(reversed(jnp.shape(none)), reversed(shape))
        ):
            raise ValueError(f"null must broadcast against cond {list(shape)}, got {list(jnp.shape(none))}")


def like(null: Any, cond: Any) -> Any:
    """Return the null in the shapes and dtypes of a condition."""
    return jax.tree.map(
        lambda n, c: jnp.broadcast_to(jnp.asarray(n, jnp.result_type(c)), jnp.shape(c)), null, cond
    )


def each(denoise: Denoiser, x_t: Array, level: NoiseLevel, conds: Sequence[Any]) -> list[Prediction]:
    """Return the prediction under each condition: one call for all, of a new axis.

    A new axis and vmap: the batch axis, and so its sharding, stays as it is.
    """
    if len(conds) == 1:
        return [denoise(x_t, level, conds[0])]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *conds)
    found = jax.vmap(denoise, (None, None, 0))(x_t, level, stacked)
    return [jax.tree.map(operator.itemgetter(i), found) for i in range(len(conds))]
