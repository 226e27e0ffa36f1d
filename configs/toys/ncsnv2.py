"""NCSN, version 2, on points in the plane: a ring of eight Gaussians of unequal weights.

Song & Ermon 2020 (arXiv:2006.09011): the largest noise is the largest distance of two points (technique 1,
2.8 here), the score is the network's output over sigma (technique 3), five steps a level whose size
follows from the levels (technique 4), a moving average of the weights (technique 5), a last denoising
step. In two dimensions all levels overlap (technique 2 does not apply), and a point does not tell its own
noise level: the network is told, and the number of levels is a guess. An MLP in place of the RefineNet.

    python -m diffjax.train --config=configs/toys/ncsnv2.py --workdir=runs/ring8_ncsnv2
    python -m diffjax.sample --workdir=runs/ring8_ncsnv2 --num=2000

Any other set of points by its name: `--config=configs/toys/ncsnv2.py:grid25`.

About a minute of one core. Obtained (5,040 samples, `experiments.ring.metrics`): sliced 2-Wasserstein
distance to the ring 0.046, total variation of the modes' weights 0.027, width of the modes 1.12 of the truth.
"""

from ml_collections import ConfigDict

from diffjax.configs.common import annealed_langevin
from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("ncsn", name)
    levels = {"sigma_max": 2.8, "sigma_min": 0.01, "num_levels": 40}
    config.schedule = ConfigDict({"name": "geometric", **levels})
    config.model = common.mlp(time_scale=25.0)
    config.objective = ConfigDict({"kind": "eps"})
    config.sampler = annealed_langevin(**levels, steps_per_level=5)
    config.training.ema.decay = 0.999
    return config
