"""NCSN on MNIST (28x28), unconditional.

Song & Ermon 2019 (arXiv:1907.05600): a small RefineNet whose normalisations know the level, ten geometric
noise levels, annealed Langevin dynamics. Images are in [-1, 1] here and in [0, 1] there, so the levels are
twice the paper's, 1 to 0.01, but for the smallest, whose steps would be too short to get anywhere with few of
them. Its 100 steps a level are 20 here, with larger steps, and the last step denoises as in version 2.

    python -m diffjax.train --config=configs/mnist/ncsn.py --workdir=runs/mnist_ncsn
    python -m diffjax.evaluate --workdir=runs/mnist_ncsn

1,000 steps of 32 images, 0.53 epochs, are a first look, not the end of the training. Training and evaluation
took 12 minutes of one core (AMD EPYC). Obtained, judged by the classifier of `python -m diffjax.classifier`:
500 samples are at 600 times the floor of the Frechet distance (held-out images: 0.85), with precision 0.66
and recall 0.21.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("ncsn", path)
    config.schedule = ConfigDict({"name": "geometric", "sigma_max": 2.0, "sigma_min": 0.05, "num_levels": 10})
    config.model = ConfigDict({"name": "refinenet", "features": 16, "dilations": (2,), "num_levels": 10})
    config.objective = ConfigDict({"kind": "score"})
    config.sampler = ConfigDict(
        {"solver": "annealed_langevin", "steps": 10, "steps_per_level": 20, "step_size": 0.1 * 0.05**2}
    )
    config.optimizer.learning_rate = 1e-3
    return config
