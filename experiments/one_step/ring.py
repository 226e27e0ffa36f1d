"""The three equations of a flow map on the ring of eight Gaussians, where the map is known."""

import functools
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from diffjax.training.system import Variables
from experiments import costs, mixtures, study, taught

STEPS, BATCH, NUM = 3000, 256, 5400
CALLS = (1, 2, 4)
_TRAINING = {"num_steps": STEPS, "batch_size": BATCH, "sample_every": 0}
_FLOW = {"kind": "velocity", "times": "uniform"}
TEACHER = "ring"
TEACHERS = {
    TEACHER: study.config_of(
        "toys/flow.py",
        "ring8",
        model={"time_scale": 4.0},
        objective_=ConfigDict(_FLOW),
        training={**_TRAINING, "num_steps": 4000},
    )
}
RULES = {
    "Eulerian": {"improved": True, "power": 0.0, "share_equal": 0.25},
    "Lagrangian": {"rule": "lagrangian", "share_equal": 0.25},
    "semigroup": {
        "rule": {"name": "semigroup", "finest": 128},
        "target": {"name": "constant", "rate": 0.99},
        "share_equal": 0.25,
    },
}
WEIGHTED = "Eulerian, weighted"
_ALL = {**RULES, WEIGHTED: {**RULES["Eulerian"], "power": 1.0}}


def arms() -> dict[str, ConfigDict]:
    """Return {"<rule>, <who says the velocity>": config}."""
    found = {}
    for rule, objective in _ALL.items():
        for source in ("data", "teacher") if rule in RULES else ("data",):
            config = study.config_of(
                "toys/mean_flow.py",
                "ring8",
                objective_=ConfigDict({**objective, "times": "uniform"}),
                training=_TRAINING,
            )
            if source == "teacher":
                config.teacher = ConfigDict({"workdir": TEACHER})
            found[f"{rule}, {source}"] = config
    return found


def trained(config: ConfigDict, seed: int, out: Path) -> tuple[ConfigDict, Variables]:
    """Train an arm after its teacher."""
    return taught.trained(config, seed, out, teachers=TEACHERS)


def measure(config: ConfigDict, variables: Variables, seed: int) -> dict[str, float]:
    """Measure one jump against the exact map, samples of one call and more, and a step of training."""
    truth = mixtures.RING
    found = {"error": taught.map_error(config, variables, truth.density(), (1.0, 0.0), seed)}
    for calls in CALLS:
        x, _ = costs.sample(taught.in_steps(config, calls), variables, seed, NUM, NUM)
        own = truth.metrics(x, seed)
        found |= {f"floors, {calls}": own["SW2"] / _floor(), f"TV, {calls}": own["TV"]}
    return found | {"ms": 1000 * study.seconds_a_step(config, seed)}


@functools.cache
def _floor():
    """Return the mean distance of as many fresh points."""
    truth = mixtures.RING
    return float(np.mean([truth.distance(truth.fresh(40_000 + i, NUM), i) for i in range(20)]))
