"""Rules of the house that a reader would otherwise have to check: sizes, who knows whose name, docstrings."""

import ast
import functools
import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import diffjax
from diffjax import systems

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted([*(ROOT / "diffjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
HOUSE = [path for path in FILES if path.is_relative_to(ROOT / "diffjax") and "configs" not in path.parts]


@functools.cache
def _nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


def _found(files, wanted):
    """Return "file:line" of every node of the files that is wanted."""
    for path in files:
        for node in _nodes(path):
            if wanted(node):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_file_is_longer_than_400_lines():
    rooms = ("diffjax", "experiments", "benchmarks", "tests")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {path: lines for path, lines in long.items() if lines > 400}


def test_no_file_is_called_utils():
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "misc")]


def _compares_the_system(node):
    compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    compared += [node.subject] if isinstance(node, ast.Match) else []
    return any(isinstance(each, ast.Attribute) and each.attr == "system" for each in compared)


def test_nothing_asks_which_system_it_has():
    assert not list(_found(FILES, _compares_the_system))


def _asks_for_a_chain(node):
    is_isinstance = isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
        "isinstance",
        "issubclass",
    )
    return is_isinstance and any(
        "Chain" in (getattr(e, "id", ""), getattr(e, "attr", "")) for e in ast.walk(node)
    )


def test_only_chains_know_that_they_are_chains():
    files = [path for path in FILES if path != ROOT / "diffjax/process/chains.py"]
    assert not list(_found(files, _asks_for_a_chain))


def test_only_the_table_knows_the_name_of_a_system():
    words = {"classifier", "latent", "prior", "clip"}  # that features, fields and towers are called by
    names = set(systems._BUILT_IN) - words
    files = [path for path in HOUSE if path != ROOT / "diffjax/systems/__init__.py"]
    says = lambda node: isinstance(node, ast.Constant) and node.value in names
    assert names and not list(_found(files, says))


def _public(module):
    """Return what an `__init__` lists: its functions and classes, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and getattr(value, "__module__", "").startswith("diffjax")
    }


ROOMS = ["diffjax", *(each.name for each in pkgutil.iter_modules(diffjax.__path__, "diffjax.") if each.ispkg)]
ROOMS = [room for room in ROOMS if room != "diffjax.configs"]


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_lists_has_a_docstring(room):
    module = importlib.import_module(room)
    assert module.__doc__ or not vars(module).get("__all__")
    assert not [name for name, value in _public(module).items() if not inspect.getdoc(value)]


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_lists_is_annotated(room):
    """Every argument, and what is returned."""
    bare = []
    for name, value in _public(importlib.import_module(room)).items():
        if inspect.isroutine(value):
            signature = inspect.signature(value)
            parts = [(each.name, each.annotation) for each in signature.parameters.values()]
            parts += [("return", signature.return_annotation)]
            bare += [f"{name}: {part}" for part, annotation in parts if annotation is inspect.Signature.empty]
    assert not bare


@pytest.mark.slow
def test_every_annotation_can_be_checked_at_run_time():
    """The type checker of the tests warns of an annotation that it cannot check; so none is skipped."""
    program = """
import pkgutil, sys, warnings
import jaxtyping
sys.path.insert(0, "tests")
jaxtyping.install_import_hook("diffjax", "typechecker.check")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    import diffjax
    for each in pkgutil.walk_packages(diffjax.__path__, "diffjax."):
        if not each.name.startswith("diffjax.configs"):
            __import__(each.name)
found = [" ".join(str(each.message).split())[:300] for each in caught if "beartype" in str(each.message)]
sys.exit("\\n".join(found) or 0)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
