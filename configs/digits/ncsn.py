"""NCSN on scikit-learn's handwritten digits (8x8), unconditional.

Song & Ermon 2019 (arXiv:1907.05600): a small RefineNet whose normalisations know the level, ten geometric
noise levels, annealed Langevin dynamics. Images are in [-1, 1] here and in [0, 1] there, so the levels are
twice the paper's on CIFAR-10, 1 to 0.01; the smallest is somewhat larger, as 17 grey values need no finer
one. Its 100 steps a level are 30 here, with larger steps, and the last step denoises as in version 2.

    python -m diffjax.train --config=configs/digits/ncsn.py --workdir=runs/digits_ncsn
    python -m diffjax.evaluate --workdir=runs/digits_ncsn

Training and evaluation took 6 minutes of one core (AMD EPYC). Obtained: 1,437 samples are at 6.6 times the
floor of the Frechet distance (held-out images: 0.53), with precision 0.49 and recall 0.99.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ncsn")
    config.schedule = ConfigDict({"name": "geometric", "sigma_max": 2.0, "sigma_min": 0.05, "num_levels": 10})
    config.model = ConfigDict({"name": "refinenet", "features": 16, "dilations": (2,), "num_levels": 10})
    config.objective = ConfigDict({"kind": "score"})
    config.sampler = ConfigDict(
        {"solver": "annealed_langevin", "steps": 10, "steps_per_level": 30, "step_size": 0.1 * 0.05**2}
    )
    config.optimizer.learning_rate = 1e-3
    config.training.num_steps = config.training.sample_every = 1500
    config.evaluation.batch_size = 479
    return config
