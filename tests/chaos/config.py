"""What `make chaos` trains: forty steps of points, or of small pictures from a folder.

`config.py:plain` writes what every run writes, `rich` pictures, snapshots and held-out losses besides,
`other` has another rate, `two` keeps every checkpoint, and `pictures,<folder>` reads image files on the way.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import ddpm

STEPS, EVERY, LOG = 40, 10, 5


def get_config(kind="plain"):
    kind, _, folder = kind.partition(",")
    config = ddpm.get_config()
    config.model.update({"width": 8, "depth": 1, "frequencies": 1})
    config.data.num_examples = 64
    config.optimizer.warmup_steps = 5
    config.sampler.steps = 4
    config.training.update({"num_steps": STEPS, "checkpoint_every": EVERY, "log_every": LOG})
    config.training.update({"batch_size": 32, "sample_every": 0, "keep": 2})
    config.evaluation = ConfigDict({"num_samples": 64, "batch_size": 64})
    if kind == "rich":
        config.training.update({"sample_every": 20, "snapshot_every": 20})
        config.training.ema = ConfigDict({"ema": {"name": "power", "width": 0.1}})
        config.training.validation = {"every": 20, "rows": 16}
    if kind == "other":
        config.optimizer.learning_rate = 1e-3
    if kind == "two":
        config.training.update({"num_steps": 400, "checkpoint_every": 40, "keep": 99})
    if kind == "pictures":
        config.data = ConfigDict({"name": "folder", "path": folder, "size": 4, "channels": 1})
        config.data.update({"shape": (4, 4, 1), "held_out": 0.0})
        config.model.frequencies = 0
        config.training.batch_size = 16
    return config
