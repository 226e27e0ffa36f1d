"""The border: one mechanism that checks kinds and shapes of a public call, from the function's annotations.

    @checked
    def perturb(x0: Float[Array, "batch *shape"], eps: Float[Array, "batch *shape"], level: NoiseLevel): ...

    perturb(x0, eps[:3], level)
    WrongCall: forward.perturb: eps must be a float array [batch, *shape], got float32[3, 2]; x0 has batch = 4

`diffjax.readers` makes a reader of each annotation, once. A reader takes what is plainly meant: a 0-d array
or a whole float where a number is asked for. Ranges stay with the functions. Under
`jit` a call is checked while it is traced, and never again.
"""

import functools
import inspect
import math
import typing
from collections.abc import Callable
from inspect import Parameter

from diffjax.readers import Unread, describe, near, reader_of, with_article

F = typing.TypeVar("F", bound=Callable)


class WrongCall(ValueError, TypeError):
    """A call that cannot be meant, in one line: function, argument, what it must be, and what was given."""


def checked(function: F) -> F:
    """Check the arguments of every call against the function's annotations.

    Arrays are whatever has a shape and a dtype: of JAX, numpy, traced, or `jax.ShapeDtypeStruct`. A number
    annotated `float` is finite, unless its default is infinite or the annotation is `types.Extended`, and is
    known on the host.

    Raises:
      WrongCall: a ValueError and a TypeError; for a missing, unknown or wrong argument, before anything runs.

    Example:
      >>> @checked
      ... def halve(x: float, times: int = 1) -> float:
      ...     return x / 2**times
      >>> halve(1)
      0.5
      >>> halve(1, times=0.5)
      Traceback (most recent call last):
        ...
      diffjax.border.WrongCall: border.halve: times must be an integer, got 0.5
    """
    named = name_of(function)

    @functools.cache
    def read_once():  # at the first call, when every name in the annotations is defined
        signature, hints = inspect.signature(function), typing.get_type_hints(function, include_extras=True)
        unbounded = lambda default: isinstance(default, float) and math.isinf(default)
        parameters = signature.parameters.items()
        return signature, {n: reader_of(hints[n], unbounded(p.default)) for n, p in parameters if n in hints}

    @functools.wraps(function)
    def call(*args, **kwargs):
        signature, readers = read_once()
        parameters = signature.parameters
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            raise WrongCall(f"{named}: {_misfit(parameters.values(), args, kwargs)}") from None
        sizes, arguments = {}, bound.arguments

        def taken(value, read, name):
            try:
                return read(value, sizes, name)
            except Unread as other:
                told = f"{name} must be {other.must}, got {describe(value)}{other.remark}"
                raise WrongCall(f"{named}: {told}") from None

        for name, read in readers.items():
            if name in arguments:
                value, kind = arguments[name], parameters[name].kind
                if kind is Parameter.VAR_POSITIONAL:
                    arguments[name] = tuple(taken(each, read, name) for each in value)
                elif kind is Parameter.VAR_KEYWORD:
                    arguments[name] = {option: taken(each, read, option) for option, each in value.items()}
                else:
                    arguments[name] = taken(value, read, name)
        return function(*bound.args, **bound.kwargs)

    return typing.cast(F, call)


def returning(function, name, kind, how):
    """Make a function that a user handed in check that what it returns is of a class, while it is traced.

    Args:
      function: the user's.
      name: what the user knows it as.
      kind: the class of its result.
      how: what to do instead, the end of a sentence.
    """

    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        if not isinstance(result, kind):
            raise WrongCall(
                f"{name} must return {with_article(kind.__name__)}, got {describe(result)}; {how}"
            )
        return result

    return call


def name_of(function) -> str:
    """Return how a message calls a function: after its module, unless that has the same name."""
    room, name = function.__module__.rpartition(".")[2], function.__qualname__.replace("<locals>.", "")
    return name if room in (name, "__main__") else f"{room}.{name}"


def _misfit(parameters, args, kwargs):
    """Return what is wrong with a call that does not fit its parameters."""
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    given = {*places[: len(args)], *kwargs}
    for name in kwargs:
        if name not in names:
            return f"{name} is no argument; there are {', '.join(names) or 'none'}{near(name, names)}"
        if name in places[: len(args)]:
            return f"{name} is given twice"
    if len(args) > len(places):
        rest = ", ".join(name for name in names if name not in places)
        told = f"at most {len(places)} arguments in order ({', '.join(places)}), got {len(args)}"
        return f"takes {told}{f'; by name only: {rest}' if rest else ''}"
    required = [p.name for p in parameters if p.default is p.empty and p.name in (*places, *names)]
    return f"{next(name for name in required if name not in given)} must be given"
