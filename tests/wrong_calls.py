"""Wrong calls of public functions, made from right ones: how many are named by one line before anything compiles.

    PYTHONPATH=.:tests python tests/wrong_calls.py [-v]

A function of the table has a right call, argument by argument. From each come wrong ones: an argument that is missing,
misspelled or one too many; a value of another type, shape or range, or NaN. A wrong call is

    named     refused by a ValueError or TypeError of one line that says the argument's name
    late      so, but a program was compiled first
    unclear   refused, by something else
    silent    not refused
"""

# ruff: noqa: E501

import collections
import inspect
import re
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from right_calls import NAN, TABLE, A, X


def wrong_values(right, parameter):
    """Return values of another type than a right one; NaN for numbers."""
    none = () if parameter.default is None else (None,)
    if isinstance(right, bool):
        return ("yes", *none)
    if isinstance(right, int):
        return ("ten", 2.5, NAN, *none)
    if isinstance(right, float):
        return ("half", NAN, [0.5], *none)
    if isinstance(right, str):
        return (f"{right}x", 3, *none)
    if isinstance(right, jax.Array) and jnp.issubdtype(right.dtype, jax.dtypes.prng_key):
        return (0, X, "key", *none)
    if isinstance(right, jax.Array) and right.dtype == X.dtype:
        return (right.astype(int), "x", 0.5j, *none)
    if isinstance(right, np.ndarray):
        return ("x", 1j, *none)
    if callable(right):
        return (3.5, "it", *none)
    if right is None:
        return ("none",)
    return (0.5, "it", *none)


def _same(a, b):
    return type(a) is type(b) and (
        a is b or (isinstance(a, float | int | str | tuple | list) and (a == b or (a != a and b != b)))
    )


def calls():
    """Yield (function's name, kind, argument, wrong arguments) of every wrong call."""
    for name, (function, given) in TABLE.items():
        right = {arg: each.right if isinstance(each, A) else each for arg, each in given.items()}
        parameters = inspect.signature(function).parameters
        for arg, each in given.items():
            told = each if isinstance(each, A) else A(each)
            parameter, seen = parameters[arg], []
            for kind, values in (("type", wrong_values(told.right, parameter)), ("value", told.wrong)):
                for value in values:
                    if not any(_same(value, other) for other in (*seen, *told.fine)):
                        seen.append(value)
                        yield name, "NaN" if _same(value, NAN) else kind, arg, {**right, arg: value}
            if parameter.default is parameter.empty:
                yield name, "missing", arg, {key: value for key, value in right.items() if key != arg}
        typo = f"{max(given, key=len)}s"
        yield name, "extra", typo, {**right, typo: 1.0}


class Compiled:
    """Counts the programs that XLA is given."""

    count = 0

    def __call__(self, event, *_, **__):
        self.count += event.endswith("backend_compile_duration")


COMPILED = Compiled()
jax.monitoring.register_event_duration_secs_listener(COMPILED)


def ask(function, argument, arguments):
    """Return how a wrong call ends, and what it said."""
    before = COMPILED.count
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = function(**arguments)
    except Exception as error:
        told = str(error)
        one_line = isinstance(error, ValueError | TypeError) and len(told) < 500 and "\n" not in told.strip()
        if not (one_line and re.search(rf"(?<!\w){re.escape(argument)}(?!\w)", told)):
            return "unclear", f"{type(error).__name__}: {told}"
        return ("named" if COMPILED.count == before else "late"), told
    return "silent", str(found)


ENDS = ("named", "late", "unclear", "silent")


def survey():
    """Return {function: Counter of how its wrong calls end}, and [(end, call, what was said)]."""
    table, told = collections.defaultdict(collections.Counter), []
    for name, kind, argument, arguments in calls():
        end, said = ask(TABLE[name][0], argument, arguments)
        table[name][end] += 1
        given = repr(arguments[argument]) if argument in arguments else "left out"
        told.append(
            (end, f"{name}({argument}={' '.join(given.split())[:40]}) [{kind}]", " ".join(said.split())[:160])
        )
    return table, told


def main():
    table, told = survey()
    total = sum(table.values(), collections.Counter())
    if "-v" in sys.argv:
        for end, call, said in told:
            if end != "named" or "-vv" in sys.argv:
                print(f"{end:8} {call} -> {said}")
    print(f"{'':38}" + "".join(f"{end:>9}" for end in ENDS))
    for name, ends in {**table, "all": total}.items():
        print(f"{name:38}" + "".join(f"{ends[end]:9}" for end in ENDS))
    calls = sum(total.values())
    print(
        f"{calls} wrong calls of {len(table)} functions: {100 * total['named'] / calls:.1f}% named by one line"
    )


if __name__ == "__main__":
    main()
