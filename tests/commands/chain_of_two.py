"""A pipeline and its config in one file: what one run samples is halved, and another's samples are added.

`get_config("<run>,<run>")`.
"""

import types

from ml_collections import ConfigDict

from diffjax import systems
from diffjax.systems import stages
from diffjax.systems.pipeline import pipeline


def from_config(config, folder=None):
    first, second = (stages.stage(each, folder, name) for name, each in config.stages.items())
    (walk,) = second.system.passes

    def added(v, keys, asked, made):
        return walk.run(v, keys, {"label": asked["label"]} if "label" in asked else {}, made) + asked["start"]

    second = second._replace(system=second.system._replace(passes=(walk._replace(run=added),)))
    return pipeline(
        {"first": first, "second": second},
        {"second": lambda keys, made, asked: {**asked, "start": made["first/walk"] / 2}},
    )


systems.register(
    "chain_of_two",
    types.SimpleNamespace(from_config=from_config, SECTIONS=("data", "stages"), IDENTITY=("stages",)),
)


def get_config(argument):
    first, second = argument.split(",")
    return ConfigDict({
        "system": "chain_of_two", "data": {"name": "ring8", "shape": (2,), "num_examples": 64},
        "stages": {"first": {"workdir": first}, "second": {"workdir": second, "sampler": {"steps": 2}}},
        "evaluation": {"num_samples": 16, "batch_size": 8, "bound_images": 0},
    })  # fmt: skip
