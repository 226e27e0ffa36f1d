"""The same equations on scikit-learn's digits, and distribution matching, from one teacher."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from diffjax import data
from diffjax.evaluation import frechet
from diffjax.pixels import to_uint8
from experiments import costs, digits, study, taught
from experiments.one_step.ring import RULES

STEPS = 3000
CALLS = (1, 2, 4, 8)
TEACHER = "digits"
TEACHERS = {TEACHER: study.config_of("digits/teacher.py")}
PLAIN, DMD2 = "the teacher, DDIM", "DMD2"


def arms() -> dict[str, ConfigDict]:
    """Return {way: config}."""
    teacher = TEACHERS[TEACHER]
    matched = study.config_of("digits/distribution_matching.py")
    matched.teacher = ConfigDict({"workdir": TEACHER})
    found = {PLAIN: teacher, DMD2: matched}
    for rule, objective in RULES.items():
        for source in ("data", "teacher"):
            config = study.config_of(
                "digits/mean_flow.py",
                schedule_=teacher.schedule,
                objective_=ConfigDict({**objective, "times": "uniform", "label_dropout": 0.1}),
                training={"num_steps": STEPS},
            )
            if source == "teacher":
                config.teacher = ConfigDict({"workdir": TEACHER})
            found[f"{rule}, {source}"] = config
    return found


def trained(config: ConfigDict, seed: int, out: Path) -> dict[int, tuple[ConfigDict, Any]]:
    """Train an arm after its teachers; return what is sampled in each number of calls, and its variables."""
    if config == TEACHERS[TEACHER]:
        own = taught.read(TEACHER, TEACHERS, seed, out)
    else:
        own = taught.trained(config, seed, out, teachers=TEACHERS)
    return {calls: (taught.in_steps(own[0], calls), own[1]) for calls in CALLS}


def measure(name: str, networks: dict[int, tuple[ConfigDict, Any]], seed: int) -> dict[str, float]:
    """Measure samples of each number of calls, of those that an arm was taught."""
    found = {}
    for calls, (config, variables) in networks.items():
        if calls == 1 or name != DMD2:
            x, _ = costs.sample(config, variables, seed, digits.NUM, digits.NUM)
            found |= _quality(to_uint8(x), calls)
    return found


def of_data() -> dict[str, float]:
    """Measure the held-out digits."""
    test = data.load("digits", "test")
    judge, _, _ = digits.reference()
    right = float(np.mean(judge.predict(test.x) == test.label))
    return {"class, 1": right, "floors, 1": digits.distance(test.x) / floor()}


@functools.cache
def floor() -> float:
    """Return the distance between halves of the training digits, each class halved by itself."""
    _, features, _ = digits.reference()
    label = np.asarray(data.load("digits", "train").label)
    return frechet.halves_floor(features, np.random.default_rng(0), labels=label)


def _quality(x, calls):
    judge, asked = digits.reference()[0], np.arange(len(x)) % 10
    return {
        f"class, {calls}": float(np.mean(judge.predict(x) == asked)),
        f"floors, {calls}": digits.distance(x) / floor(),
    }
