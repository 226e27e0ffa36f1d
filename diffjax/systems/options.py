"""Sections of a config read with every mistake named: the field, what was given, what is allowed."""

import difflib
import inspect
from collections.abc import Mapping

from ml_collections import ConfigDict


def optional(field, value, table):
    """Make what a name, or {"name": ..., options}, stands for; None for "none"."""
    name, options = named(value)
    return None if name is None else call(field, pick(field, name, table), options)


def named(value):
    """Return the name, None for "none", and the options of what a config gives as either."""
    options = dict(value) if isinstance(value, Mapping | ConfigDict) else {"name": value}
    name = options.pop("name", None)
    return None if name == "none" else name, options


def section(config, name, *without):
    """Return the entries of a section as a dict, but for some; lists become tuples."""
    return {key: _plain(value) for key, value in config[name].items() if key not in without}


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def pick(field, name, table):
    """Return the entry of a table; ValueError with the nearest names if there is none."""
    if name in table:
        return table[name]
    raise ValueError(f"{field} must be one of {', '.join(table)}; got {name!r}{nearest(name, table)}")


def call(field, function, options, *args, **kwargs):
    """Call a function with the options of a config section; an option it does not have is named."""
    known = inspect.signature(function).parameters
    for option in options:
        if option not in known:
            raise ValueError(
                f"{field}.{option} is not an option of {function.__name__}{nearest(option, known)}"
            )
    try:
        inspect.signature(function).bind(*args, **options, **kwargs)
    except TypeError as error:
        raise ValueError(f"{field}: {error} of {function.__name__}") from None
    try:
        return function(*args, **options, **kwargs)
    except TypeError as error:
        raise ValueError(f"{field} has a value of the wrong type, {options}: {error}") from error


def nearest(name, names):
    """Return ", did you mean ...?" for a misspelt name, or nothing."""
    close = difflib.get_close_matches(str(name), list(names), n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
