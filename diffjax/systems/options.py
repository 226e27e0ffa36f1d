"""Sections of a config read with every mistake named: the field, what was given, what is allowed."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from diffjax.border import WrongCall
from diffjax.readers import near as nearest


def require(config: ConfigDict, *fields: str) -> None:
    """Raise a ValueError for the first dotted field that a config lacks; None counts as lacking."""
    for field in fields:
        value, path = config, "config"
        for name in field.split("."):
            value, path = _entries(path, value).get(name), f"{path}.{name}"
            if value is None:
                raise ValueError(f"{path} is missing")


def optional(field: str, value: Any, table: Mapping[str, Callable]) -> Any:
    """Make what a name, or {"name": ..., options}, stands for; None for "none"."""
    return None if named(value, field)[0] is None else chosen(field, value, table)


def chosen(field: str, value: Any, table: Mapping[str, Callable]) -> Any:
    """Make what a name, or {"name": ..., options}, stands for; "none" is refused."""
    name, options = named(value, field)
    return call(field, pick(field, "none" if name is None else name, table), options)


def named(value: Any, field: str) -> tuple[Any, dict[str, Any]]:
    """Return the name, None for "none", and the options of what a config gives as either.

    Raises:
      ValueError: naming the field, for options of nothing.
    """
    options = dict(value) if is_section(value) else {"name": value}
    name = options.pop("name", None)
    if options and (name is None or name == "none"):
        told = ", ".join(map(str, options))
        raise ValueError(f"{field} must have a 'name' that its options are of, got {told} alone")
    return None if name == "none" else name, options


def section(config: ConfigDict, name: str, *without: str) -> dict[str, Any]:
    """Return the entries of a section, by its dotted name, as a dict but for some; lists become tuples."""
    require(config, name)
    for part in name.split("."):
        config = config[part]
    entries = _entries(f"config.{name}", config)
    return {key: _plain(value) for key, value in entries.items() if key not in without}


def optional_section(config: ConfigDict, name: str) -> dict[str, Any]:
    """Return the entries of a section, see `section`; none where there is no such section."""
    return {} if config.get(name) is None else section(config, name)


def of_json(tree: Any) -> Any:
    """Return what JSON gives as configs have it: its lists are tuples again."""
    if isinstance(tree, dict):
        return {key: of_json(value) for key, value in tree.items()}
    return tuple(map(of_json, tree)) if isinstance(tree, list) else tree


def is_section(value: Any) -> bool:
    """Say whether a value of a config is a section of it."""
    return isinstance(value, Mapping | ConfigDict)


def _entries(path, value):
    if not is_section(value):
        raise ValueError(f"{path} must be a section, a dict; got {value!r}")
    return value


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def pick(field: str, name: Any, table: Mapping[str, Any]) -> Any:
    """Return the entry of a table; ValueError with the nearest names if there is none."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise ValueError(f"{field} must be one of {', '.join(table)}; got {name!r}{nearest(name, table)}")


def number(field: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number of a config in [least, most]; ValueError for anything else."""
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not least <= value <= most:
        limits = "finite" if math.isinf(most) else f"in [{least:g}, {most:g}]"
        raise ValueError(f"{field} must be a number, {limits}; got {value!r}")
    return value


def call(field: str, function: Callable, options: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function with the options of a config section; what it refuses is told with the field."""
    try:
        return fill(field, function, options, *args, **kwargs)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(field) else f"{field}: {told}") from error


def fill(field: str, function: Callable, options: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function as `call` does, one whose arguments are of other sections too: no field is blamed."""
    signature = inspect.signature(function)
    known = signature.parameters.keys() - signature.bind_partial(*args, **kwargs).arguments.keys()
    for option in options:
        if option not in known:
            raise ValueError(
                f"{field}.{option} is not an option of {function.__name__}{nearest(option, known)}"
            )
    try:
        signature.bind(*args, **options, **kwargs)
    except TypeError as error:
        raise ValueError(f"{field}: {error} of {function.__name__}") from None
    try:
        return function(*args, **options, **kwargs)
    except WrongCall:
        raise  # names the option already
    except TypeError as error:
        raise ValueError(f"{field} has a value of the wrong type, {options}: {error}") from error
