"""Sampling takes jax and numpy: what a sampler in a notebook does not need is needed where it is used."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = [
    "PIL", "absl", "array_record", "beartype", "chex", "diffrax", "etils", "flax", "grain",
    "importlib_resources", "jaxtyping", "matplotlib", "ml_collections", "optax", "orbax", "sklearn",
    "tensorflow", "tensorflow_datasets", "tensorstore", "tqdm",
]  # fmt: skip

BLOCKED = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""

SAMPLING = """
import jax, numpy as np
import diffjax
from diffjax import exact, guidance, likelihoods, objectives, process, samplers
from diffjax.process import schedules

mixture = exact.gaussian_mixture([1.0, 1.0], [[-1.0, 0.0], [1.0, 0.0]], [0.1, 0.1])
schedule = schedules.vp_linear()
denoise = guidance.clip(-3.0, 3.0)(mixture.denoiser())
times = samplers.grids.uniform(20, schedule.t_min)
x = samplers.sample(jax.random.key(0), denoise, schedule, samplers.ddim(), times, shape=(200, 2))
assert abs(np.abs(np.asarray(x)[:, 0]).mean() - 1) < 0.1, x
eps, level = objectives.draw(jax.random.key(1), x, schedule, objectives.uniform(schedule))
loss, _ = objectives.denoising(lambda x, t, cond: 0 * x, x, eps, level)
assert loss.shape == (200,)
"""


# Each in a fork of a process that has imported jax, which all of them may.
FORKS = """
import os, sys
import jax
for program in sys.argv[1:]:
    if (process := os.fork()) == 0:
        exec(program)
        sys.exit()
    if os.waitpid(process, 0)[1]:
        sys.exit(f"in {program[-300:]}")
"""


def _run(*programs, before=""):
    command = [sys.executable, "-W", "ignore", "-c", before + FORKS, *programs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_sampling_takes_jax_and_numpy_alone():
    _run(SAMPLING, before=BLOCKED)


def test_rooms_of_mathematics_import_alone():
    rooms = "diffjax", "diffjax.toys", "diffjax.samplers.grids", "diffjax.process.schedules"
    _run(*(f"import {room}" for room in rooms), before=BLOCKED)


def test_a_room_imports_no_more_than_it_always_needs():
    """Scikit-learn, TFDS, grain, matplotlib and diffrax come with the function that uses them."""
    late = "{'sklearn', 'tensorflow', 'tensorflow_datasets', 'grain', 'matplotlib', 'diffrax', 'jaxtyping'}"
    rooms = "models", "data", "training", "systems", "commands"
    program = f"import sys, diffjax.{{}}\nfound = {late} & set(sys.modules)\nassert not found, found"
    _run(*(program.replace("{}", room) for room in rooms))
