"""Class labels as a request: the first part that a system can be asked for."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.models.conditions import ClassTable, Encoders
from diffjax.systems.options import nearest
from diffjax.training.system import Conditioning, Part, Request, Variables

CONDITIONS = "conditions"  # the name of the encoders' parameters
NONE = "none"  # how a user asks for no class


class Requests(NamedTuple):
    """What a system takes of its conditions.

    Attributes:
      conditioning: of `System.request`.
      init: key -> {name: params} of the encoders; empty where there are none.
      example: {name: one row} of what a batch has for them.
      has_null: whether nothing can be asked, as classifier-free guidance does.
    """

    conditioning: Conditioning = Conditioning()
    init: Callable[[jax.Array], dict[str, Any]] = lambda key: {}
    example: Mapping[str, jax.ShapeDtypeStruct] = {}
    has_null: bool = False


def labels(
    num_classes: int, features: int, dropout: float = 0.0, names: Sequence[str] | None = None
) -> Requests:
    """Make the request part "label": int [n] in 0..num_classes-1, or num_classes for no class.

    Args:
      num_classes: number of classes.
      features: of the vector that the network takes.
      dropout: probability that training hides the label; 0 for a model that has no null.
      names: of the classes, or None; a user may ask by name or by number.

    Raises:
      ValueError: if dropout is outside [0, 1], or there is not one name a class.
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f"label_dropout must be in [0, 1], got {dropout}")
    if names is not None and len(names) != num_classes:
        raise ValueError(f"class names must be {num_classes}, one a class; got {len(names)}")
    has_null = dropout > 0
    encoders = Encoders({"label": ClassTable(num_classes, features, has_null)})

    def init(key):
        made = encoders.init(key, {"label": jnp.zeros(1, int)})
        return {CONDITIONS: made["params"]}

    def of_user(given, n):
        for part in given:
            if part != "label":
                raise ValueError(f"the model is asked for a label, not for {part!r}")
        if not given:
            return default(n)
        asked = given["label"]
        asked = [asked] if isinstance(asked, str) or np.ndim(asked) == 0 else list(asked)
        if not asked:
            raise ValueError("label must be at least one class, or left out for all of them in turn")
        return {"label": np.resize([_class(each) for each in asked], n)}

    def _class(value):
        allowed = f"0..{num_classes - 1}" + (f", or {NONE!r}" if has_null else "")
        if has_null and value == NONE:
            return np.int32(num_classes)
        if names is not None and value in names:
            return np.int32(list(names).index(value))
        try:
            number = int(value) if isinstance(value, str) else operator.index(value)
        except (TypeError, ValueError):
            number = -1
        if number not in range(num_classes):
            hint = nearest(value, names) if names is not None else ""
            raise ValueError(f"label must be in {allowed}, got {value}{hint}")
        return np.int32(number)

    def default(n):
        return {"label": np.arange(n, dtype=np.int32) % num_classes}

    def drop(key, n):
        return {"label": ~jax.random.bernoulli(key, dropout, (n,))}

    def encode(variables, request, keep=None):
        label = request["label"]
        known = None
        if has_null:
            known = (label < num_classes) & (True if keep is None else keep["label"])
            label = jnp.where(known, label, 0)
        return encoders.apply({"params": variables.params[CONDITIONS]}, {"label": label}, {"label": known})

    def describe(request):
        label = np.asarray(request["label"])
        said = list(map(str, range(num_classes))) if names is None else list(names)
        return [(*said, NONE)[each] for each in label]

    return Requests(
        Conditioning(
            parts={"label": Part((), jnp.int32, dropout, names)},
            of_batch=lambda variables, key, batch: {"label": batch["label"]},
            of_user=of_user,
            default=default,
            drop=drop if has_null else None,
            encode=encode,
            describe=describe,
        ),
        init,
        {"label": jax.ShapeDtypeStruct((1,), jnp.int32)},
        has_null,
    )


def nothing(conditioning: Conditioning, variables: Variables, request: Request, n: int) -> Any:
    """Return the Condition of a request with every part hidden: what guidance steers away from."""
    keep = {part: jnp.zeros(n, bool) for part in conditioning.parts}
    return conditioning.encode(variables, request, keep)
