"""A solver, a system and a config are added in a copy of the tree by the files that CONTRIBUTING names."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

SOLVER = '''
"""Euler's method of x / alpha over sigma / alpha."""

from typing import NamedTuple

from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    x: Array
    eps: Array


@one_value
def added() -> Solver:
    """Step x_s = (alpha_s / alpha_t) x_t + (sigma_s - (alpha_s / alpha_t) sigma_t) eps, which is DDIM's."""

    def plan(schedule, times):
        levels = schedule(times)
        target, current = part(levels, slice(1, None)), part(levels, slice(-1))
        ratio = target.alpha / current.alpha
        return _Row(current, ratio, target.sigma - ratio * current.sigma)

    def step(noise, denoise, x, row, cond, state):
        return expand(row.x, x) * x + expand(row.eps, x) * denoise(x, row.level, cond).eps, state

    return Solver(no_memory, plan, step, nfe=1, draws=0)
'''

SYSTEM = '''
"""Denoising diffusion under another name."""

from diffjax.systems import ddpm
from diffjax.systems.ddpm import IDENTITY as IDENTITY
from diffjax.systems.ddpm import SECTIONS as SECTIONS


def from_config(config, folder=None):
    """Build the system of a config with sections `SECTIONS`."""
    return ddpm.from_config(config, folder)
'''

CONFIG = '''
"""An added system on points, by an added solver: Nobody 2026, table 1.

    python -m diffjax.train --config=configs/toys/added.py --workdir=runs/added

A second on one core. Expected: what DDIM gives. Obtained: that.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("added", name)
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 20})
    config.model = common.mlp()
    config.objective = ConfigDict({"kind": "eps"})
    config.sampler = ConfigDict({"solver": "added", "steps": 4})
    return config
'''

ENTRY = 'Entry(added, {"added": Variant(call(), _SIGNAL)}, orders=(Order(call(), 1),))'

# what CONTRIBUTING says of each: a file of its own, and what is said of it in one more
EDITS = {
    "solver": {
        "diffjax/samplers/transitions/added.py": SOLVER,
        "diffjax/samplers/listing.py": {
            "from diffjax.samplers.transitions.ancestral import": (
                "from diffjax.samplers.transitions.added import added as added\n"
                "from diffjax.samplers.transitions.ancestral import"
            ),
            "_SOLVERS = (\n": f"_SOLVERS = (\n    {ENTRY},\n",
        },
    },
    "system": {
        "diffjax/systems/added.py": SYSTEM,
        "diffjax/systems/__init__.py": {
            '    "ddpm",\n': '    "added",\n    "ddpm",\n',
        },
    },
    "config": {"configs/toys/added.py": CONFIG},
}

FOUND = """
import pathlib, sys
sys.path.insert(0, "tests")
import diffjax, jax, numpy as np
assert pathlib.Path(diffjax.__file__).is_relative_to(pathlib.Path.cwd()), diffjax.__file__
from diffjax import commands, exact, samplers, systems
from diffjax.process import schedules
from diffjax.training.system import Variables
from experiments import solver_orders
import solver_list

# the solver: public, right, in the tests, the measured orders and the document
mixture = exact.gaussian_mixture([1.0], [[1.0, 0.0]], [0.1])
key, schedule, times = jax.random.key(0), schedules.cosine_beta(20), samplers.grids.spaced(20, "4")
walk = lambda solver: samplers.sample(key, mixture.denoiser(), schedule, solver, times, shape=(3, 2))
np.testing.assert_allclose(walk(samplers.added()), walk(samplers.ddim()), rtol=1e-4, atol=1e-5)
assert solver_list.SOLVERS["added"] is samplers.added()
assert "'added'" in str(solver_list.COMBINATIONS)
assert "added" in {entry.name for entry, _ in solver_orders.FLOW}
assert "`added`" in solver_orders.solvers_table()

# the config: found as a file of the package, with the system and the solver that it names
config = commands.config_module(pathlib.Path("configs/toys/added.py")).get_config()
system = systems.build(config)
assert systems.module(config) is systems.added
params, extra = system.init(key, jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), system.example), {})
x = system.sample(Variables(params, extra), key, {}, 3)
assert x.shape == (3, 2) and np.isfinite(x).all()
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__", "golden", "*.npz", ".*")
    for room in ("diffjax", "configs", "experiments", "tests", "docs"):
        shutil.copytree(ROOT / room, folder / room, symlinks=True, ignore=leave)
    for file in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / file, folder / file)
    for files in EDITS.values():
        for path, edit in files.items():
            if isinstance(edit, str):
                assert not (folder / path).exists()
                (folder / path).write_text(edit.lstrip())
                continue
            text = (folder / path).read_text()
            for old, new in edit.items():
                assert text.count(old) == 1, f"{path} has no longer one {old!r}"
                text = text.replace(old, new)
            (folder / path).write_text(text)
    return folder


def _run(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_they_are_found_by_config_tests_and_documents(copy):
    _run(copy, "-c", FOUND)


def test_generic_tests_are_made_for_the_new_ones(copy):
    files = ("tests/samplers/test_every_solver.py", "tests/samplers/test_orders.py", "tests/configs")
    listed = _run(copy, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *files)
    for file in ("test_every_solver.py", "test_orders.py", "test_configs.py"):
        assert any(file in line and "added" in line for line in listed.splitlines()), file


def test_the_house_holds(copy):
    """Import layers and the style of what was added: no other file had to change."""
    _run(copy, "-m", "ruff", "check", *(path for files in EDITS.values() for path in files))


@pytest.mark.parametrize(("what", "most"), [("solver", 2), ("system", 2), ("config", 1)])
def test_no_more_files_than_contributing_names(what, most):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split(f"## Add a {what}")[1].split("\n## ")[0]
    assert len(EDITS[what]) <= most
    for path in EDITS[what]:
        new = path.endswith("added.py")
        told = f"{path.rpartition('/')[0]}/" if new else path
        assert told.replace("transitions/", "").replace("toys/", "") in section, (what, told)
