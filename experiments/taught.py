"""Arms that learn from trained networks: a teacher is trained once a seed, as a run, for all its students.

A study with such arms has

    TEACHERS    name -> config, of what arms learn from; and of what these learn from themselves

and the name in `config.teacher.workdir`, or that of `config.perceptual`, in the place of a folder. Chains of
students, as progressive distillation has them, are teachers of teachers.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import exact, train
from diffjax.process.schedules import Schedule
from diffjax.samplers import starts
from diffjax.systems.stages import stage
from diffjax.training.system import Variables
from diffjax.types import ArrayLike
from experiments import costs, study

Teachers = Mapping[str, ConfigDict]
SECTIONS = ("teacher", "perceptual")  # of a config, that name what it learns from
NUM = 1000  # points whose exact way is found by an adaptive method, some seconds a thousand
_done: set[Path] = set()  # folders of this process: a chain's are asked for again and again


def run(name: str, teachers: Teachers, seed: int, out: Path) -> Path:
    """Train a teacher of a seed, or find it done; return its run's folder, below `<out>/teachers`."""
    folder = out / "teachers" / name / str(seed)
    if folder not in _done:
        config = placed(teachers[name], teachers, seed, out)
        config.training.update({"seed": seed, "sample_every": 0})
        train.train(config, folder, progress=False)
        _done.add(folder)
    return folder


def placed(config: ConfigDict, teachers: Teachers, seed: int, out: Path) -> ConfigDict:
    """Return a config with the folders of what it learns from in the place of their names."""
    config = config.copy_and_resolve_references()
    for section in SECTIONS:
        if config.get(section):
            config[section].workdir = str(run(config[section].workdir, teachers, seed, out))
    return config


def trained(config: ConfigDict, seed: int, out: Path, *, teachers: Teachers) -> tuple[ConfigDict, Variables]:
    """Train an arm in memory, after its teachers; return its config with the folder, and its variables."""
    config = placed(config, teachers, seed, out)
    return config, study.train(config, seed, progress=f"{config.system}, seed {seed}")


def read(name: str, teachers: Teachers, seed: int, out: Path) -> tuple[ConfigDict, Variables]:
    """Return what `trained` does of a teacher itself, which is an arm too."""
    folder = run(name, teachers, seed, out)
    return placed(teachers[name], teachers, seed, out), stage({"workdir": folder}, None, name).read(None)


def in_steps(config: ConfigDict, steps: int) -> ConfigDict:
    """Return a config that is sampled in so many steps."""
    config = config.copy_and_resolve_references()
    config.sampler.steps = steps
    return config


def map_error(
    config: ConfigDict,
    variables: Variables,
    truth: exact.GaussianMixture,
    ends: tuple[float, float],
    seed: int,
) -> float:
    """Return how far one jump of a flow map is from where the exact ODE goes, from the same noise.

    Args:
      config, variables: of a system with a flow map, of points without classes.
      truth: of the data.
      ends: times of the system's schedule, from noise to data.
      seed: of the noise.

    Returns:
      The root mean square of |x - x*| over `NUM` points, in units of the data.
    """
    system = costs.system_of(config)
    schedule = system.schedule(variables)
    x, where = exact_way(schedule, truth, ends, seed)
    ours = jax.jit(lambda v: system.flow_map(v)(x, *map(schedule, ends)))(variables)
    return apart(ours, where)


def exact_way(
    schedule: Schedule, truth: exact.GaussianMixture, ends: tuple[float, float], seed: int
) -> tuple[jax.Array, np.ndarray]:
    """Return noise at the first of two times, and where the exact ODE takes it until the other.

    Arguments as of `map_error`.

    Returns:
      x and x* `[NUM, D]`.
    """
    x = starts.start_of(jax.random.key(1000 + seed), schedule, (NUM, truth.means.shape[1]), ends)
    return x, np.asarray(truth.flow_map(x, *map(schedule, ends)), np.float64)


def apart(x: ArrayLike, other: ArrayLike) -> float:
    """Return the root mean square distance of points [N, D] to others."""
    error = np.asarray(x, np.float64) - np.asarray(other, np.float64)
    return float(np.sqrt(np.mean(np.sum(error**2, axis=-1))))
