"""Readers of annotations: `read(value, sizes, name)` returns what one asks for, or raises `Unread`.

`sizes` holds the named axes of the arguments before it, {axis: (size, argument)}; `name` is the argument's.
"""

import collections.abc as abc
import difflib
import functools
import inspect
import math
import numbers
import types
import typing

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.types import ArrayLike


class Unread(Exception):
    """What a value must be, and a remark on the one that was given."""

    def __init__(self, must, remark=""):
        self.must, self.remark = must, remark


def reader_of(annotation, infinite=False):
    """Return the reader of an annotation; one that says nothing takes everything.

    Args:
      annotation: a class, a Protocol, an array of `diffjax.types`, or what `typing` makes of them.
      infinite: whether numbers may be infinite.
    """
    kind, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if kind is typing.Annotated:
        return reader_of(args[0], infinite or "may be infinite" in args[1:])
    if hasattr(kind, "dim_str"):
        return _array(kind, infinite)
    if kind in (typing.Union, types.UnionType):
        like = typing.get_args(ArrayLike)
        others = [each for each in args if not set(like) <= set(args) or each not in like]
        numeric = lambda value: _is_array(value) or isinstance(value, numbers.Number)
        first = [_plain(numeric, "an array or a number")] if len(others) < len(args) else []
        return _union([*first, *(reader_of(each, infinite) for each in others)])
    if kind is typing.Literal:
        return _literal(args)
    if kind in _NUMBERS:
        return _number(kind, infinite)
    if kind in (None, types.NoneType):
        return _plain(lambda value: value is None, "None")
    if kind in (jax.Array, np.ndarray):
        return _plain(_is_array, "an array")
    if kind in (abc.Callable, typing.Callable):
        return _callable("a function", len(args[0]) if args and isinstance(args[0], list) else None)
    if kind is tuple and args and args[-1] is not Ellipsis:
        return _pack([reader_of(each, infinite) for each in args])
    if kind in (list, tuple, abc.Sequence, abc.Iterable, abc.Collection):
        return _sequence(reader_of(args[0], infinite) if args else _anything, kind is tuple)
    if not inspect.isclass(kind) or kind in (object, typing.Any):
        return _anything
    if getattr(kind, "_is_protocol", False):
        return _protocol(kind)
    must = {abc.Mapping: "a mapping", dict: "a dict", str: "a string", type: "a class"}
    remark = lambda value: _parentheses(value, lambda made: made is kind)
    return _plain(lambda value: isinstance(value, kind), must.get(kind, with_article(kind.__name__)), remark)


def describe(value) -> str:
    """Return a value in a few words."""
    if _is_array(value):
        known = value.ndim == 0 and isinstance(value, np.ndarray | np.generic)
        return f"{'a traced ' * _is_traced(value)}{value.dtype}{f' {value}' if known else list(value.shape)}"
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"the {'class' if inspect.isclass(value) else 'function'} {value.__name__}"
    text = repr(value)
    if (
        value is None
        or isinstance(value, numbers.Number | str | bytes)
        or type(value) in (list, tuple, dict, set)
    ):
        return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
    return with_article(type(value).__name__)


def with_article(noun) -> str:
    """Return a noun after "a" or "an"."""
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def near(word: object, options: abc.Iterable) -> str:
    """Return "; did you mean ...?" if options are spelled nearly so, else nothing."""
    found = difflib.get_close_matches(str(word), [str(option) for option in options], 2)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def _anything(value, sizes, name):
    return value


def _plain(test, must, remark=lambda value: ""):
    def read(value, sizes, name):
        if not test(value):
            raise Unread(must, remark(value))
        return value

    return read


_NUMBERS = {bool: "True or False", int: "an integer", float: "a finite number"}


def _number(kind, infinite):
    """Read a host number: Python's, numpy's, or of an array without axes."""
    must = "a number" if kind is float and infinite else _NUMBERS[kind]

    def fits(value):
        if kind is bool or isinstance(value, bool):
            return kind is bool and isinstance(value, bool)
        if not isinstance(value, int | float):
            return False
        return value == value // 1 if kind is int else math.isfinite(value) or (infinite and value == value)

    def read(value, sizes, name):
        if _is_traced(value):
            raise Unread(f"{must} known on the host", ", which decides the program")
        if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0 and not _is_key(value):
            value = value.item()
        if not fits(value):
            raise Unread(must)
        return int(value) if kind is int else value

    return read


def _literal(options):
    must = f"one of {', '.join(map(str, options))}"

    def read(value, sizes, name):
        if not any(type(value) is type(option) and value == option for option in options):
            raise Unread(must, near(value, options) if isinstance(value, str) else "")
        return value

    return read


def _parentheses(value, wanted):
    """Return a remark on a maker that was handed in place of what it makes."""
    if not inspect.isroutine(value):
        return ""
    made = typing.get_type_hints(inspect.unwrap(value)).get("return")
    return f"; did you forget the parentheses, {value.__name__}(...)?" if made and wanted(made) else ""


def _callable(must, arity):
    """Read what can be called, with so many arguments in order unless `arity` is None."""

    def read(value, sizes, name):
        if not callable(value):
            raise Unread(must)
        try:
            if arity is not None:
                inspect.signature(value).bind(*range(arity))
        except TypeError:
            raise Unread(f"{must} of {arity} arguments in order") from None
        except ValueError:
            pass  # a function of C, which does not say what it takes
        return value

    return read


def _protocol(kind):
    """Read a value that has the members of a Protocol, and can be called as its `__call__` is."""
    bases = [base for base in kind.__mro__ if getattr(base, "_is_protocol", False)]
    found = {name for base in bases for name in {**vars(base).get("__annotations__", {}), **vars(base)}}
    members = {name for name in found if not name.startswith("_")}
    must, call, names = with_article(kind.__name__), _anything, []
    if "__call__" in found:
        asked = list(inspect.signature(kind.__call__).parameters.values())[1:]
        fixed = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY) for p in asked)
        call, names = _callable(must, len(asked) if fixed else None), [p.name for p in asked if fixed]
    has = lambda made: members and members <= {*dir(made), *getattr(made, "__annotations__", ())}

    def read(value, sizes, name):
        lacks = sorted(member for member in members if not hasattr(value, member))
        if lacks or inspect.isclass(value):
            forgotten = _parentheses(value, lambda made: made is kind or has(made))
            bare = value is None or isinstance(value, numbers.Number | str) or _is_array(value)
            raise Unread(
                must, forgotten or ("" if bare or not lacks else f", which has no {', '.join(lacks)}")
            )
        call(value, sizes, name)
        if names:
            _require_order(must, names, value)
        return value

    return read


def _require_order(must, names, value):
    """Refuse a function that has an argument of a Protocol's, by its name, in another place."""
    try:
        own = list(inspect.signature(value).parameters)
    except ValueError:
        return  # a function of C, which does not say what it takes
    if any(name in own and own.index(name) != place for place, name in enumerate(names)):
        raise Unread(f"{must}, a function ({', '.join(names)})", f", a function ({', '.join(own)})")


def _pack(readers):
    """Read a tuple of fixed length."""

    def read(value, sizes, name):
        host = isinstance(value, list | tuple) or (
            _is_array(value) and value.ndim == 1 and not _is_traced(value)
        )
        if not host or len(value) != len(readers):
            raise Unread(f"a tuple of {len(readers)}")
        return tuple(each(item, sizes, name) for each, item in zip(readers, value))

    return read


def _sequence(each, of_tuple):
    """Read a list, tuple, set or host array, item by item; an iterator as it is. Only a tuple is a tuple."""

    def read(value, sizes, name):
        must = "a tuple" if of_tuple else "a sequence"
        if isinstance(value, str | bytes | abc.Mapping) or not isinstance(value, abc.Iterable):
            raise Unread(must)
        items = value
        if _is_array(value):
            if _is_traced(value) or getattr(value, "shape", ()) == ():
                raise Unread(f"{must} on the host")
            items = np.asarray(value).tolist()
        elif not isinstance(value, abc.Sequence | abc.Set):
            return value
        try:
            items = [each(item, sizes, name) for item in items]
        except Unread as other:
            raise Unread(f"{must}, each {other.must}", other.remark) from None
        if of_tuple and not isinstance(value, tuple):
            raise Unread(must, f"; {tuple(items)} is one")
        return tuple(items) if of_tuple else value

    return read


def _union(readers):
    """Read what the first of the readers takes that takes it."""

    def read(value, sizes, name):
        others = []
        for each in readers:
            try:
                return each(value, sizes, name)
            except Unread as other:
                others.append(other)
        musts = list(dict.fromkeys(other.must for other in others))
        remarks = [other.remark for other in others if other.remark]
        raise Unread(" or ".join(filter(None, [", ".join(musts[:-1]), musts[-1]])), "".join(remarks[:1]))

    return read


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "ndim")


def _is_traced(value):
    return isinstance(value, Tracer)


def _is_key(value):
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


_WORDS = {"key": "key", "shaped": "array", "num": "array of numbers", "int": "integer array"}


def _array(annotation, infinite):
    """Read an array: the kind of its elements, then its axes from left to right."""
    axes, dtypes = annotation.dim_str.split(), annotation.dtypes
    dtypes = dtypes if isinstance(dtypes, tuple | list) else None
    kind = annotation.__name__.partition("[")[0].lower()
    word = with_article(_WORDS.get(kind, f"{kind} array"))
    must = f"{word} [{', '.join(axes)}]" if axes else f"{word} without axes"
    start = next((i for i, axis in enumerate(axes) if axis.startswith(("*", "...", "#*"))), None)

    def read(value, sizes, name):
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if isinstance(value, bool | int | float):  # a number promotes
            number = float if not isinstance(value, bool) and "float32" in (dtypes or ()) else type(value)
            shape, dtype = (() if infinite or math.isfinite(value) else None), np.dtype(number)
        if shape is None or dtype is None:
            raise Unread(must)
        if kind == "key" and _name_of_dtype(dtype) == "uint32":
            shape = shape[:-1]  # an old-style key
        elif dtypes is not None and _name_of_dtype(dtype) not in dtypes:
            raise Unread(must)
        over = len(shape) - len(axes) + 1  # how many axes the flexible one takes
        if start is not None and over >= 0:
            shape = (*shape[:start], tuple(shape[start : start + over]), *shape[start + over :])
        if len(shape) != len(axes):
            raise Unread(must)
        known = dict(sizes)
        for axis, size in zip(axes, shape):
            _compare(axis, size, known, name, must)
        sizes.update(known)
        return value

    return read


@functools.cache
def _name_of_dtype(dtype):
    return "prng_key" if jnp.issubdtype(dtype, jax.dtypes.prng_key) else np.dtype(dtype).name


def _compare(axis, size, sizes, name, must):
    """Compare an axis with its name: one met before in the call has the same size, or broadcasts (#)."""
    broadcasts, axis = "#" in axis, axis.strip("*#?").rpartition("=")[2]
    if axis in ("", "...") or axis.startswith("_"):
        return
    where = None
    if axis.isidentifier():
        met, where = sizes.setdefault(axis, (size, name))
    else:  # a number, or an expression of the sizes met so far
        try:
            met = eval(axis, {}, {each: number for each, (number, _) in sizes.items()})
        except NameError:
            return
    if size != met and not (broadcasts and _spreads(size, met)):
        raise Unread(
            must, f"; {where} has {axis} = {list(met) if isinstance(met, tuple) else met}" * bool(where)
        )


def _spreads(size, met):
    """Return whether axes of these sizes broadcast."""
    size, met = (each if isinstance(each, tuple) else (each,) for each in (size, met))
    return len(size) == len(met) and all(1 in pair or pair[0] == pair[1] for pair in zip(size, met))
