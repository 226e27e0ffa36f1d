"""What networks are told beside x and t, and the encoders that make it of what a user or a batch says.

Whatever is asked (a class, a text, a picture) reaches a network as one `Condition`, and there are three such
things only: a vector, which joins the time's embedding; tokens, which go into cross-attention; and a map,
which stands beside the input's channels. An encoder turns one named part of a request into a Condition;
`Encoders` holds those of all parts.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.embeddings import looked_up
from diffjax.types import Array, ArrayLike, Bool, Float, Integer


class Condition(NamedTuple):
    """Hold what a network is told; a pytree, whose leaves are None where nothing is said.

    Attributes:
      vector: [B, C], added to the embedding of the time.
      tokens: [B, M, D], for cross-attention.
      mask: bool [B, M], which tokens are there; None for all of them.
      map: [B, H, W, C], beside the channels of an input of that height and width; [B, C] beside points.
    """

    vector: Float[Array, "batch features"] | None = None
    tokens: Float[Array, "batch length width"] | None = None
    mask: Bool[Array, "batch length"] | None = None
    map: Float[Array, "batch *space channels"] | None = None


@checked
def merge(*conditions: Condition) -> Condition:
    """Make one Condition of several: vectors add; tokens, masks and maps stand side by side, in order.

    Where some tokens have a mask, those without one are all there.

    Args:
      *conditions: of one batch; any number of them.

    Returns:
      The Condition of all of them.

    Raises:
      ValueError: if widths, sizes or batches differ, or a mask is not one of its tokens.
    """
    for each in conditions:
        _check_mask(each)
    masked = any(each.mask is not None for each in conditions)
    masks = [visible(each) for each in conditions if masked and each.tokens is not None]
    vectors, tokens, maps = (
        _alike(name, [getattr(each, name) for each in conditions], axis)
        for name, axis in (("vector", None), ("tokens", 1), ("map", -1))
    )
    return Condition(
        vector=reduce(add, vectors) if vectors else None,
        tokens=jnp.concatenate(tokens, axis=1) if tokens else None,
        mask=jnp.concatenate(masks, axis=1) if masks else None,
        map=jnp.concatenate(maps, axis=-1) if maps else None,
    )


class ClassTable(nn.Module):
    """Give each class a learned vector and, for classifier-free guidance, "no class" another one.

    Attributes:
      num_classes: number of classes, the null not counted.
      features: size of a vector, the network's `vector_features`.
      null: whether there is a null vector; it is the LAST row of the table.
    """

    num_classes: int
    features: int
    null: bool = False

    @nn.compact
    @checked
    def __call__(
        self, label: Integer[Array, " batch"], keep: Bool[Array, " batch"] | None = None
    ) -> Condition:
        """Look labels up.

        Args:
          label: int [B] in 0..num_classes-1; any other gives NaN.
          keep: bool [B]; where it is False, the null vector. None keeps all, and is a must without a null.

        Returns:
          Condition of a vector [B, features].

        Raises:
          ValueError: for another shape or dtype, or `keep` where there is no null.
        """
        counts(self, "num_classes", "features")
        normal = nn.initializers.normal(1.0)
        table = self.param("embedding", normal, (self.num_classes + self.null, self.features))
        label = jnp.asarray(label, jnp.int32)  # holds the number that is no row, which a byte may not
        label = jnp.where(label < self.num_classes, label, -1)  # the null is not asked for by its number
        if keep is not None:
            if not self.null:
                raise ValueError("keep: the table has no null (null=False), so it must be None")
            label = jnp.where(keep, label, self.num_classes)
        return Condition(vector=looked_up(table, label))


class Encoders(nn.Module):
    """Encode each part of a request with a module of its own, and merge what comes out.

    The parameters of a part are `{"embed": {part: ...}}`, whatever other parts there are: its initial values
    follow from the key and its name alone.

    Attributes:
      encoders: {part: module}, each called `(value, keep) -> Condition`.
    """

    encoders: Mapping[str, nn.Module]

    @nn.compact
    @checked
    def __call__(
        self, request: Mapping[str, Any], keep: Mapping[str, Bool[Array, " batch"] | None] | None = None
    ) -> Condition:
        """Encode a request.

        Args:
          request: {part: value [B, ...]}; parts without an encoder are not for the network and are left out.
          keep: {part: bool [B]}; where it is False, the part is its encoder's null. What is None or not named
            is kept.

        Returns:
          The merged Condition.

        Raises:
          ValueError: for a part that the request lacks, or that `keep` names and no encoder has.
        """
        keep = keep or {}
        missing = [part for part in self.encoders if part not in request]
        if missing:
            raise ValueError(f"request: {missing[0]!r} is missing; got {', '.join(request) or 'none'}")
        unknown = [part for part in keep if part not in self.encoders]
        if unknown:
            allowed = ", ".join(self.encoders) or "none"
            raise ValueError(f"keep: the encoded parts are {allowed}; got {unknown[0]!r}")
        return _Parts(self.encoders, name="embed")(request, keep)


class _Parts(nn.Module):
    """Hold the encoders under the names of their parts, rather than under names of where they come from."""

    encoders: Mapping[str, nn.Module]

    @nn.compact
    def __call__(self, request, keep):
        named = {part: each.clone(parent=self, name=part) for part, each in self.encoders.items()}
        return merge(*(each(request[part], keep.get(part)) for part, each in named.items()))


class Labelled(nn.Module):
    """Call a network with class labels, as published class-conditional networks are called.

    Parameters are `{"network": ..., "label": {"embedding": [num_classes, vector_features]}}`.

    Attributes:
      network: called `(x, t, Condition, train=)`; its `vector_features` say how wide a vector it takes.
      num_classes: number of classes.
    """

    network: nn.Module
    num_classes: int

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch ..."],
        t: ArrayLike,
        label: Integer[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch ..."]:
        """Apply the network to x [B, ...] at times t and labels [B] in 0..num_classes-1."""
        if label is None:
            raise ValueError(f"label: the network needs labels (num_classes={self.num_classes}); got None")
        table = ClassTable(self.num_classes, self.network.vector_features, name="label")
        return self.network(x, t, table(label), train=train)


def checked_condition(
    cond: Condition | None,
    x: Float[Array, "batch ..."],
    *,
    vector_features: int | None,
    map_channels: int = 0,
    token_features: int | None = None,
) -> Condition:
    """Return the condition of a network, or refuse what it does not take.

    Args:
      cond: given to the network.
      x: its input [B, ..., C].
      vector_features: width of the vector that it takes; None for a network that takes none.
      map_channels: channels of the map that it needs; 0 for a network that takes none.
      token_features: width of the tokens that it needs; None for a network without cross-attention.

    Returns:
      `cond`, its vector, map and tokens in x's dtype, the tokens zeros where the mask hides them; an empty
      Condition for None.

    Raises:
      ValueError: for a field that does not suit the network.
    """
    cond = Condition() if cond is None else cond
    if token_features is None:
        for name in ("tokens", "mask"):
            if getattr(cond, name) is not None:
                raise ValueError(f"cond.{name}: must be None, as the network has no cross-attention")
    else:
        cond = _checked_tokens(cond, x, token_features)
    vector = None if vector_features is None else (len(x), vector_features)
    if cond.vector is not None:
        cond = cond._replace(vector=_floats("vector", cond.vector, vector).astype(x.dtype))
    space = (*x.shape[:-1], map_channels) if map_channels else None
    if cond.map is not None:
        cond = cond._replace(map=_floats("map", cond.map, space).astype(x.dtype))
    elif map_channels:
        raise ValueError(f"cond.map: must have shape {space} (map_channels={map_channels}); got None")
    return cond


def _checked_tokens(cond, x, features):
    """Return cond with tokens [B, M, features] in x's dtype, and zeros where a mask [B, M] hides them."""
    if cond.tokens is None:
        raise ValueError(f"cond.tokens: must have shape ({len(x)}, M, {features}); got None")
    tokens = jnp.asarray(cond.tokens)
    length = tokens.shape[1] if tokens.ndim == 3 and tokens.shape[1] else "M"
    tokens = _floats("tokens", tokens, (len(x), length, features)).astype(x.dtype)
    mask = cond.mask
    if mask is not None and (mask.shape != tokens.shape[:2] or mask.dtype != bool):
        raise ValueError(
            f"cond.mask: must be bool of shape {tokens.shape[:2]}; got {mask.dtype} of shape {mask.shape}"
        )
    if mask is not None:  # not even NaN of padding gets into a gradient of what projects them
        tokens = jnp.where(mask[..., None], tokens, 0)
    return cond._replace(tokens=tokens)


def counts(module: nn.Module, *names: str) -> None:
    """Refuse attributes of a module that are no positive integers, by a ValueError."""
    for name in names:
        checks.count(name, getattr(module, name))


def beside(
    x: Float[Array, "*space channels"], map: Float[Array, "*space more"] | None
) -> Float[Array, "*space all"]:
    """Return x [..., C] with the channels of the map, if there is one, after its own."""
    return x if map is None else jnp.concatenate([x, map], axis=-1)


def _floats(name, array, shape):
    array = jnp.asarray(array)
    if shape is None:
        raise ValueError(f"cond.{name}: must be None, as the network takes none; got shape {array.shape}")
    if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"cond.{name}: must be floating point of shape {shape}; got {array.dtype} of shape {array.shape}"
        )
    return array


def _alike(name, arrays, axis):
    """Return the arrays that are there, all of one shape but for the axis."""
    arrays = [array for array in arrays if array is not None]
    shapes = [np.shape(array) for array in arrays]
    rest = [np.delete(shape, [] if axis is None else axis).tolist() for shape in shapes]
    if any(each != rest[0] for each in rest):
        raise ValueError(f"{name}: shapes to merge must agree; got {' and '.join(map(str, shapes))}")
    return arrays


def _check_mask(cond):
    if cond.mask is not None and (cond.tokens is None or cond.mask.shape != cond.tokens.shape[:2]):
        tokens = "none" if cond.tokens is None else f"shape {cond.tokens.shape}"
        raise ValueError(
            f"mask: must be [B, M] of the tokens [B, M, D]; got {cond.mask.shape} and tokens of {tokens}"
        )


def visible(cond: Condition) -> Bool[Array, "batch length"]:
    """Return which tokens of a condition are there: its mask, or all."""
    return jnp.ones(cond.tokens.shape[:2], bool) if cond.mask is None else cond.mask
