"""Arms that learn from trained networks: a teacher is trained once a seed, as a run, for all its students.

A study with such arms has

    TEACHERS    name -> config, of what arms learn from; and of what these learn from themselves

and the name in `config.teacher.workdir` in the place of a folder. Chains of students, as progressive
distillation has them, are teachers of teachers.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import exact, train
from diffjax.samplers import starts
from diffjax.systems.stages import stage
from diffjax.training.system import Variables
from experiments import costs, study

Teachers = Mapping[str, ConfigDict]
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
    """Return a config with the folder of its trained teacher in the place of its name."""
    config = config.copy_and_resolve_references()
    if config.get("teacher"):
        config.teacher.workdir = str(run(config.teacher.workdir, teachers, seed, out))
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
    levels = [system.schedule(variables)(each) for each in ends]
    x = starts.start_of(
        jax.random.key(1000 + seed), system.schedule(variables), (NUM, truth.means.shape[1]), ends
    )
    ours = jax.jit(lambda v: system.flow_map(v)(x, *levels))(variables)
    error = np.asarray(ours, np.float64) - np.asarray(truth.flow_map(x, *levels), np.float64)
    return float(np.sqrt(np.mean(np.sum(error**2, axis=-1))))
