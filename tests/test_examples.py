"""The examples in the docstrings: every one runs, and every public constructor has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import diffjax

ROOMS = [
    "process",
    "samplers",
    "likelihoods",
    "guidance",
    "objectives",
    "exact",
    "border",
    "readers",
    "types",
]
SHOWN = ["process.schedules", "samplers", "samplers.grids", "likelihoods", "guidance", "objectives", "exact"]


class _Finder(doctest.DocTestFinder):
    """Finds what decorators wrapped, too."""

    def _from_module(self, module, object):
        return module is None or getattr(object, "__module__", None) == module.__name__


def _modules():
    for room in ROOMS:
        module = importlib.import_module(f"diffjax.{room}")
        yield module
        for each in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            yield importlib.import_module(each.name)


EXAMPLES = {
    test.name: test
    for module in _modules()
    for test in _Finder(exclude_empty=True).find(module)
    if test.examples
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_says(name):
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    failed, tried = runner.run(EXAMPLES[name], out=told.append, clear_globs=False)
    assert tried and not failed, "".join(told)


@pytest.mark.parametrize("room", SHOWN)
def test_every_public_constructor_has_an_example(room):
    module = importlib.import_module(f"diffjax.{room}")
    public = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
        and not name.startswith("_")
        and value.__module__.startswith(f"diffjax.{room.partition('.')[0]}")
    }
    missing = sorted(name for name, value in public.items() if ">>> " not in (value.__doc__ or ""))
    assert public and not missing, f"without an example in diffjax.{room}: {', '.join(missing)}"


def test_examples_of_all_rooms_are_found():
    assert diffjax.__name__ == "diffjax" and len(EXAMPLES) > 20
