"""What a system is asked, of any number of named parts: a class, a text, a map, a picture.

`Asked` is one part; `of_parts` makes of several what a system needs, and `labels` of class labels alone.
"""

import operator
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax.models.conditions import ClassTable, Encoders
from diffjax.systems.options import nearest
from diffjax.training.system import Conditioning, Part, Request, Variables, nothing_to_prepare

CONDITIONS = "conditions"  # the name of the encoders' parameters
NONE = "none"  # how a user asks for nothing
LABEL = "label"


class Requests(NamedTuple):
    """What a system takes of its conditions.

    Attributes:
      conditioning: of `System.request`.
      init: key -> {name: params} of the encoders; empty where there are none.
      example: {name: one row} of what a batch has for them.
      has_null: whether nothing can be asked, as classifier-free guidance does.
      prepare: `(folder | None, source | None) -> source`, on the host: texts become ids, say.
    """

    conditioning: Conditioning = Conditioning()
    init: Callable[[jax.Array], dict[str, Any]] = lambda key: {}
    example: Mapping[str, jax.ShapeDtypeStruct] = {}
    has_null: bool = False
    prepare: Callable[[str | Path | None, Any], Any] = lambda folder, source: source

    def learned(self) -> tuple[str, ...]:
        """Return the names of the encoders' parameters."""
        return tuple(jax.eval_shape(self.init, jax.random.key(0)))


class Asked(NamedTuple):
    """One part of a request, and perhaps others that go with it: a picture, and the level of its noise.

    What goes with a part "image" is the part "image_level". Functions here know suffixes alone: "" is the
    part itself, "_level" the other.

    Attributes:
      parts: {suffix: Part}, "" first.
      module: `(value, keep) -> Condition`.
      of_batch: `(key, batch) -> {suffix: [B, ...]}`.
      of_user: `({suffix: values asked for in turn}, n) -> {suffix: [n, ...]}`; "" may be missing.
      default: `n -> {suffix: [n, ...]}` where nothing is asked; what cannot be left out is refused.
      nothing: the same, but nothing, where other parts are asked.
      says: the suffixes that a user may ask for.
      value: `{suffix: array} -> (what the module takes, bool [n] where it says something | None)`.
      describe: `{suffix: array} -> strings [n] | None`.
      picture: `{suffix: array} -> uint8 images [n, h, w, C] | None`, to stand beside samples.
      example: {array of a batch: one row}.
      prepare: `(folder, source) -> source`.
    """

    parts: Mapping[str, Part]
    module: nn.Module
    of_batch: Callable[..., Mapping[str, Any]]
    of_user: Callable[..., Mapping[str, Any]]
    default: Callable[[int], Mapping[str, Any]]
    nothing: Callable[[int], Mapping[str, Any]]
    says: Sequence[str] = ("",)
    value: Callable[[Mapping[str, Any]], tuple[Any, Any]] = lambda own: (own[""], None)
    describe: Callable[[Mapping[str, Any]], Sequence[str] | None] = lambda own: None
    picture: Callable[[Mapping[str, Any]], Any] = lambda own: None
    example: Mapping[str, jax.ShapeDtypeStruct] = {}
    prepare: Callable[[str | Path | None, Any], Any] = lambda folder, source: source


def of_parts(
    asked: Mapping[str, Asked], drop: Mapping[str, float] | None = None, together: float = 0.0
) -> Requests:
    """Make what a system needs of its parts.

    Args:
      asked: {name: Asked}.
      drop: {name: probability that training hides it}, each by itself; 0 where there is none.
      together: probability that training hides all of them at once, besides.

    Raises:
      ValueError: for a probability outside [0, 1], or names that cannot be told apart.
    """
    own = {name: (drop or {}).get(name, 0.0) for name in asked}
    for name, share in {**own, "together": together}.items():
        if not 0 <= share <= 1:
            raise ValueError(f"drop of {name} must be in [0, 1], got {share}")
    hidden = {name: share + (1 - share) * together for name, share in own.items()}
    nulls = [name for name, share in hidden.items() if share > 0]
    names = {f"{name}{suffix}": (name, suffix) for name, each in asked.items() for suffix in each.says}
    parts = {
        f"{name}{suffix}": part if suffix else part._replace(drop=hidden[name])
        for name, each in asked.items()
        for suffix, part in each.parts.items()
    }
    if len(parts) < sum(len(each.parts) for each in asked.values()):
        raise ValueError(f"parts must have names that can be told apart, got {', '.join(asked)}")
    encoders = Encoders({name: each.module for name, each in asked.items()})

    def flat(made):
        return {f"{name}{suffix}": array for name, values in made.items() for suffix, array in values.items()}

    def own_of(name, request):
        names = {suffix: f"{name}{suffix}" for suffix in asked[name].parts}
        return {suffix: request[part] for suffix, part in names.items() if not suffix or part in request}

    def init(key):
        zeros = {part: jnp.zeros((1, *about.shape), about.dtype) for part, about in parts.items()}
        values = {name: each.value(own_of(name, zeros))[0] for name, each in asked.items()}
        made = encoders.init(key, values).get("params")
        return {} if made is None else {CONDITIONS: made}  # a channel a class, alone, has none

    def of_batch(variables, key, batch):
        del variables
        return flat({n: each.of_batch(_fold(key, n, "batch"), batch) for n, each in asked.items()})

    def of_user(given, n):
        for part in given:
            if part not in names:
                told = "a label" if list(names) == [LABEL] else ", ".join(names)
                raise ValueError(f"the model is asked for {told}, not for {part!r}{nearest(part, names)}")
        if not given:
            return default(n)
        values = {}
        for part, value in given.items():
            name, suffix = names[part]
            values.setdefault(name, {})[suffix] = _in_turn(value, len(parts[part].shape))
        made = {name: asked[name].of_user(own, n) for name, own in values.items()}
        quiet = lambda name: asked[name].nothing if name in nulls else asked[name].default
        return flat(made | {name: quiet(name)(n) for name in asked if name not in made})

    def default(n):
        return flat({name: each.default(n) for name, each in asked.items()})

    def drop_some(key, n):
        keep = {name: ~jax.random.bernoulli(_of_drop(key, name), own[name], (n,)) for name in nulls}
        if together:
            all_kept = ~jax.random.bernoulli(_fold(key, "", "together"), together, (n,))
            keep = {name: each & all_kept for name, each in keep.items()}
        return keep

    def encode(variables, request, keep=None):
        values, kept = {}, {}
        for name, each in asked.items():
            values[name], said = each.value(own_of(name, request))
            if name in nulls:
                told = None if keep is None else keep.get(name)
                both = [mask for mask in (said, told) if mask is not None]
                kept[name] = both[0] & both[-1] if both else None
        return encoders.apply({"params": variables.params.get(CONDITIONS, {})}, values, kept)

    def describe(request):
        said = [each.describe(own_of(name, request)) for name, each in asked.items()]
        said = [each for each in said if each is not None]
        return [", ".join(filter(None, row)) or NONE for row in zip(*said)] if said else None

    def picture(request):
        shown = [each.picture(own_of(name, request)) for name, each in asked.items()]
        return [each for each in shown if each is not None]

    def prepare(folder, source):
        for each in asked.values():
            source = each.prepare(folder, source)
        return source

    return Requests(
        Conditioning(
            parts=parts, of_batch=of_batch, of_user=of_user, default=default,
            drop=drop_some if nulls else None, encode=encode, describe=describe, pictures=picture,
        ),
        init,
        {array: row for each in asked.values() for array, row in each.example.items()},
        bool(nulls),
        prepare,
    )  # fmt: skip


def _fold(key: jax.Array, name: str, use: str) -> jax.Array:
    return jax.random.fold_in(key, zlib.crc32(f"{use} {name}".encode()))


def _of_drop(key, name):
    """Return the key that hides a part: for labels, which were alone once, the given one."""
    return key if name == LABEL else _fold(key, name, "drop")


def _in_turn(value, axes):
    """Return what is asked in turn as a list, also of one: a word, a number, an array of so many axes."""
    if isinstance(value, list | tuple):
        return list(value)
    array = np.asarray(value)
    words = array.dtype.kind == "U" and array.ndim > 0
    return list(array) if words or array.ndim > axes else [value]


def listed(value: Any) -> list[Any]:
    """Return what is given in turn as a list, also of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def rows_of(name: str, values: Sequence[Any], n: int) -> np.ndarray:
    """Return [n, ...] of what is asked for in turn, arrays of one shape; ValueError where there are none."""
    if not values:
        raise ValueError(f"{name} must be at least one, or left out")
    return np.stack(values)[np.arange(n) % len(values)]


def of_each(name: str, one: Callable[[Any], np.ndarray]) -> Callable[..., dict[str, np.ndarray]]:
    """Return the `Asked.of_user` of a part of one array, whose values are read one by one."""
    return lambda given, n: {"": rows_of(name, [one(each) for each in given[""]], n)}


def labels(
    num_classes: int, features: int, dropout: float = 0.0, names: Sequence[str] | None = None
) -> Requests:
    """Make the request of class labels alone, int [n] in 0..num_classes-1, or num_classes for no class.

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
    return of_parts({LABEL: classes(num_classes, features, dropout > 0, names)}, {LABEL: dropout})


def classes(
    num_classes: int,
    features: int,
    null: bool = False,
    names: Sequence[str] | None = None,
    *,
    name: str = LABEL,
    array: str = LABEL,
) -> Asked:
    """Make a part of classes.

    Args:
      num_classes, features, names: see `labels`.
      null: whether there is no class, too.
      name: of the part, for messages.
      array: of a batch that holds it.
    """
    if names is not None and len(names) != num_classes:
        raise ValueError(f"class names must be {num_classes}, one a class; got {len(names)}")

    def one(value):
        allowed = f"0..{num_classes - 1}" + (f", or {NONE!r}" if null else "")
        if null and value == NONE:
            return np.int32(num_classes)
        if names is not None and value in names:
            return np.int32(list(names).index(value))
        try:
            number = int(value) if isinstance(value, str) else operator.index(value)
        except (TypeError, ValueError):
            number = -1
        if number not in range(num_classes):
            hint = nearest(value, names) if names is not None else ""
            raise ValueError(f"{name} must be in {allowed}, got {value}{hint}")
        return np.int32(number)

    def of_user(given, n):
        if not given[""]:
            raise ValueError(f"{name} must be at least one class, or left out for all of them in turn")
        return {"": np.resize([one(each) for each in given[""]], n)}

    def value(own):
        known = own[""] < num_classes
        return (jnp.where(known, own[""], 0), known) if null else (own[""], None)

    def describe(own):
        said = list(map(str, range(num_classes))) if names is None else list(names)
        return [(*said, NONE)[each] for each in np.asarray(own[""])]

    def prepare(folder, source):
        if array != LABEL and source is not None:
            require_classes(name, array, source[array], num_classes, ())
        return source

    return Asked(
        parts={"": Part((), jnp.int32, names=names)},
        module=ClassTable(num_classes, features, null),
        of_batch=lambda key, batch: {"": jnp.asarray(batch[array], jnp.int32)},
        of_user=of_user,
        default=lambda n: {"": np.arange(n, dtype=np.int32) % num_classes},
        nothing=lambda n: {"": np.full(n, num_classes, np.int32)},
        value=value,
        describe=describe,
        example={array: jax.ShapeDtypeStruct((1,), jnp.int32)},
        prepare=prepare,
    )


def require_classes(name: str, array: str, found: Any, num_classes: int, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array of the data holds classes [N, *shape]."""
    kind = f"integers [N{''.join(f', {each}' for each in shape)}] in 0..{num_classes - 1}"
    if found.dtype.kind not in "iu" or found.shape[1:] != shape:
        raise ValueError(f"{name}: array {array!r} must be {kind}, got {found.dtype} {list(found.shape)}")
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= num_classes:
        raise ValueError(f"{name}: array {array!r} must be {kind}, got values from {low} to {high}")


def prepared(requests: Requests) -> Callable[..., tuple[dict[str, Any], Any]]:
    """Return the `System.prepare` of a system that stands on nothing but its conditions' files."""
    if not requests.conditioning.parts:
        return nothing_to_prepare
    return lambda folder, source=None: ({}, requests.prepare(folder, source))


def nothing(conditioning: Conditioning, variables: Variables, request: Request, n: int) -> Any:
    """Return the Condition of a request with every part hidden: what guidance steers away from."""
    keep = {part: jnp.zeros(n, bool) for part in conditioning.parts}
    return conditioning.encode(variables, request, keep)
