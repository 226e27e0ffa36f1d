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

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("ncsn", name)
    config.schedule = ConfigDict({"name": "geometric", "sigma_max": 1.0, "sigma_min": 0.01, "num_levels": 10})
    config.model = common.mlp(time_scale=100.0)
    config.objective = ConfigDict({"kind": "score"})
    config.sampler = ConfigDict(
        {"solver": "annealed_langevin", "steps": 10, "steps_per_level": 100, "step_size": 2e-5}
    )
    return config
