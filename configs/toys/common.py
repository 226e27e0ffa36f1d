"""What the configs of points in the plane share: endless data whose law is known, and an MLP."""

from typing import Any

from ml_collections import ConfigDict

from diffjax.configs import common


def config(system: str, name: str) -> ConfigDict:
    """Return the config of a system on a set of points, but for its schedule, model, objective, sampler."""
    config = ConfigDict()
    config.system = system
    config.data = ConfigDict({"name": name, "shape": (2,), "num_examples": 20_000})
    config.optimizer = common.adam()
    config.training = common.training(5000, batch_size=512, log_every=100, checkpoint_every=1000)
    config.evaluation = ConfigDict({"num_samples": 10_000, "batch_size": 10_000})
    return config


def mlp(**more: Any) -> ConfigDict:
    """Return an MLP that sees Fourier features of the points, with what a system adds or replaces."""
    return ConfigDict({"name": "mlp", "width": 128, "depth": 3, "frequencies": 4, **more})
