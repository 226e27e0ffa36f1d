"""DDPM on points in the plane, learned by an MLP: by default a ring of eight Gaussians of unequal weights.

    python -m diffjax.train --config=configs/toys/ddpm.py --workdir=runs/ring8
    python -m diffjax.sample --workdir=runs/ring8 --num=2000

Any other set of points by its name: `--config=configs/toys/ddpm.py:checkerboard`.

About a minute on two cores. `python -m diffjax.evaluate --workdir=runs/ring8` prints the sliced Wasserstein
distance of the samples to fresh points beside that between two sets of fresh points.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("ddpm", name)
    config.schedule = ConfigDict({"name": "linear_beta", "num_steps": 1000})
    config.model = common.mlp()
    config.objective = ConfigDict({"kind": "eps", "weighting": "none"})
    config.sampler = ConfigDict({"solver": "ancestral", "steps": 250, "grid": "uniform"})
    config.training.sample_every = 1000
    return config
