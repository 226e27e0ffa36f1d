"""Consistency model of MNIST (28x28), tuned from a diffusion model: one network call an image.

Geng et al. 2024 (arXiv:2406.14548), ECT: the student begins as an EDM run and learns from the data, by pairs
of levels whose ratio closes in. The run is `configs/mnist/edm.py`:

    python -m diffjax.train --config=configs/mnist/edm.py --workdir=runs/mnist_edm
    python -m diffjax.train --config=configs/mnist/consistency.py --workdir=runs/mnist_consistency
    python -m diffjax.evaluate --workdir=runs/mnist_consistency --sweep_steps=1,2

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("consistency", path)
    config.teacher = ConfigDict({"workdir": "runs/mnist_edm"})
    config.objective = ConfigDict(
        {
            "levels": ConfigDict({"name": "closing", "q": 4.0}),
            "pairs": ConfigDict({"name": "log_normal", "mean": -0.8, "std": 1.6}),
            "metric": ConfigDict({"name": "pseudo_huber", "c": 0.05}),
            "weighting": "inverse_gap",
            "tangent": "data",
        }
    )
    config.perceptual = None
    config.sampler = ConfigDict({"steps": 1})
    return config
