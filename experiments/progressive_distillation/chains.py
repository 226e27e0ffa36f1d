"""The teachers and students of progressive distillation, their samples, and what is measured of these."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import data, guidance, samplers
from diffjax.keys import per_sample
from diffjax.pixels import to_uint8
from diffjax.samplers import starts
from diffjax.systems.requests import nothing
from diffjax.training import checkpoints
from diffjax.training.system import System, Variables
from experiments import costs, digits, ring, study, taught

POINTS, EXACT = 5400, 1000  # sampled on the ring, and those of them whose exact way is found
REFERENCE = 128  # steps of a teacher that are taken for its ODE
_KEY = 1000  # of samples, beside the seed's


class _Place(NamedTuple):
    teacher: str  # file of configs/
    student: str
    argument: str | None
    steps: int  # of training a teacher
    phase: int  # and a student
    objective: Mapping[str, Any]  # of a teacher, beside its kind


_PLACES = {
    "digits": _Place("digits/teacher.py", "digits/progressive.py", None, 5000, 500, {"label_dropout": 0.1}),
    "ring": _Place("toys/flow.py", "toys/progressive.py", "ring8", 2500, 300, {}),
}
_KINDS = {"v": "none", "x_0": "truncated_snr", "eps": "none"}  # of a network, and the weight of its own error
GUIDED = "guided"


class Chain(NamedTuple):
    """Students that halve their steps.

    Attributes:
      teacher: name of the first one's teacher.
      most: steps of the first student; its teacher takes twice as many.
      objective: of all.
    """

    teacher: str
    most: int
    objective: Mapping[str, Any]

    def steps(self) -> list[int]:
        """Return the steps of the students."""
        return [self.most >> i for i in range(self.most.bit_length())]


CHAINS = {
    "digits: v": Chain("digits: v", 64, {"weighting": "truncated_snr"}),
    "digits: x_0": Chain("digits: x_0", 8, {"weighting": "truncated_snr"}),
    "digits: eps": Chain("digits: eps", 8, {"weighting": "snr"}),
    "ring: v": Chain("ring: v", 8, {"weighting": "truncated_snr"}),
    "ring: x_0": Chain("ring: x_0", 8, {"weighting": "truncated_snr"}),
    "ring: eps": Chain("ring: eps", 8, {"weighting": "snr"}),
    "guided": Chain(GUIDED, 8, {"weighting": "truncated_snr"}),
    "guided, stochastic": Chain(GUIDED, 8, {"weighting": "truncated_snr", "between": True}),
}


def _first(place: str, kind: str) -> ConfigDict:
    own = _PLACES[place]
    objective = {"kind": kind.replace("_", ""), "weighting": _KINDS[kind], "times": "uniform"}
    return study.config_of(
        own.teacher, own.argument,
        schedule_={"name": "vp_cosine", "log_snr_min": -5.0},
        objective_={**objective, **own.objective},
        sampler_={"solver": "ddim", "steps": REFERENCE, "grid": "uniform"},
        training=_kept(own.steps),
    )  # fmt: skip


def _kept(num_steps):
    return {"num_steps": num_steps, "checkpoint_every": num_steps, "keep": 1}


def of_steps(chain: str, steps: int) -> str:
    """Return the name of a student."""
    return f"{chain}, {steps} steps"


def _students(name: str, chain: Chain) -> dict[str, ConfigDict]:
    """Return the configs of a chain by their names, each the teacher of the next."""
    own, teacher, found = _PLACES["ring" if name.startswith("ring") else "digits"], chain.teacher, {}
    for steps in chain.steps():
        config = study.config_of(
            own.student, own.argument,
            teacher={"workdir": teacher},
            objective={"steps": steps, **chain.objective},
            sampler={"steps": steps},
            training=_kept(own.phase),
        )  # fmt: skip
        del config["phases"]
        teacher = of_steps(name, steps)
        found[teacher] = config
    return found


_FIRST = {f"{place}: {kind}": _first(place, kind) for place in _PLACES for kind in _KINDS}
_FIRST[GUIDED] = study.config_of(
    "digits/distill_guidance.py", teacher={"workdir": "digits: v"}, training=_kept(1500)
)
TEACHERS = _FIRST | {
    student: config for name, chain in CHAINS.items() for student, config in _students(name, chain).items()
}


@dataclasses.dataclass(frozen=True)
class _Root:
    """The system of a first teacher, whose network all of its students have: one for all seeds."""

    name: str
    system: System = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A trained network, of the system of its first teacher; told from others by being itself."""

    root: _Root
    variables: Variables


class Runs(NamedTuple):
    """What an arm is measured with: a run, the one that it learned from, and the first of all."""

    own: Run
    teacher: Run
    original: Run


def trained(config: ConfigDict, seed: int, out: Path) -> Runs:
    """Train a student and those that it stands on, or find them done."""
    line = [next(name for name, each in TEACHERS.items() if each is config)]
    while "teacher" in TEACHERS[line[-1]]:
        line.append(TEACHERS[line[-1]].teacher.workdir)
    return Runs(*(_read(each, seed, out) for each in (line[0], line[1], line[-1])))


@functools.lru_cache(maxsize=64)
def _read(name, seed, out):
    if name in _FIRST:
        config, variables = taught.read(name, TEACHERS, seed, out)
        system = costs.system_of(config)
        return Run(_Root(name, system), variables)
    first = _read(CHAINS[name.rpartition(", ")[0]].teacher, seed, out)
    served = first.root.system.serves
    values, _ = checkpoints.restore_served(taught.run(name, TEACHERS, seed, out), served, ema=True)
    return Run(first.root, first.variables._replace(params={each: values[each] for each in served}))


@functools.lru_cache(maxsize=64)
def sample(run: Run, seed: int, steps: int, weight: float | None = None, ahead: int = 1) -> np.ndarray:
    """Sample by DDIM, digits [1437, 8, 8, 1] of the training digits' classes or points [POINTS, 2].

    Args:
      run: of a teacher or a student.
      seed: of the noise, the same for all runs.
      steps: of the grid.
      weight: of guidance: two calls a step of a first teacher, a part of the request of a student.
      ahead: see `samplers.ddim`.
    """
    parts = run.root.system.request.parts
    num = len(labels()) if _told(run) else POINTS
    asked = {"label": labels(), "guidance": np.full(num, weight, np.float32)}
    walk = _walk(run.root, steps, ahead, weight is not None and "guidance" not in parts)
    keys = per_sample(jax.random.key(_KEY + seed), num)
    return np.asarray(walk(run.variables, keys, {part: asked[part] for part in parts}, asked["guidance"]))


@functools.cache
def _walk(root, steps, ahead, guided):
    """Return (variables, keys, request, weights) -> samples, one program for all runs of a system."""
    system, noise, solver = root.system, root.system.schedule(None), samplers.ddim(ahead=ahead)
    times = samplers.grids.make(noise, steps, "uniform")
    rows, shape = samplers.plan(noise, solver, times), system.example["x"].shape[1:]

    @jax.jit
    def walk(v, keys, asked, weights):
        guides = []
        if guided:
            null = nothing(system.request, v, asked, len(keys))
            guides = [guidance.classifier_free(weight=weights, null=null)]
        denoise = guidance.chain(*guides)(system.denoiser(v))
        x = starts.start_of(keys, noise, (len(keys), *shape), times)
        return samplers.walk(keys, denoise, solver, rows, x, cond=system.request.encode(v, asked))

    return walk


@functools.cache
def labels() -> np.ndarray:
    """Return the classes that are asked for, those of the training digits."""
    return np.asarray(data.load("digits", "train").label, np.int32)


@functools.lru_cache(maxsize=64)
def quality(run: Run, seed: int, *how: Any) -> dict[str, float]:
    """Measure `sample`: "distance" over its floor, and "class" of digits, "TV" and "nll" of points."""
    x = sample(run, seed, *how)
    if x.ndim == 2:
        found = ring.metrics(x, seed)
        own = {name: found[name] for name in ("TV", "nll")}
        return {"distance": found["SW2"] / ring.floor(seed, len(x)), **own}
    pictures, (judge, _, floor) = to_uint8(np.nan_to_num(x)), digits.reference()
    right = judge.probabilities(pictures).argmax(1) == labels()
    return {"distance": digits.distance(pictures) / floor, "class": float(np.mean(right))}


def error(run: Run, original: Run, seed: int, steps: int, *how: Any) -> float:
    """Return how far samples are from where the first teacher's ODE goes, from the same noise.

    Where it goes is exact for points; for digits it is `REFERENCE` steps of the first teacher, guided alike.

    Returns:
      The root mean square of the difference, a coordinate or pixel in [-1, 1].
    """
    end = sample(original, seed, REFERENCE, *how[:1]) if _told(original) else _exact(original, seed)
    off = np.asarray(sample(run, seed, steps, *how)[: len(end)], np.float64) - end
    return float(np.sqrt(np.mean(off**2)))


def _told(run):
    return "label" in run.root.system.request.parts


@functools.lru_cache(maxsize=4)
def _exact(original, seed):
    noise = original.root.system.schedule(None)
    keys = per_sample(jax.random.key(_KEY + seed), EXACT)
    x = starts.start_of(keys, noise, (EXACT, 2), [1.0, 0.0])
    return np.asarray(ring.mixture().flow_map(x, noise(1.0), noise(0.0)))
