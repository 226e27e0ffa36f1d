"""A normalizing flow of points in the plane: a ring of eight Gaussians of unequal weights.

Neural spline couplings (Durkan et al. 2019, arXiv:1906.04032) between linear mixings of the two coordinates:
an exact density, one network call a sample.

    python -m diffjax.train --config=configs/toys/normalizing_flow.py --workdir=runs/ring8_normalizing_flow
    python -m diffjax.sample --workdir=runs/ring8_normalizing_flow --num=2000

Any other set of points by its name: `--config=configs/toys/normalizing_flow.py:moons`. Other couplings are
`--config.model.coupling=affine` (RealNVP) and `mixture` (Flow++).

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("normalizing_flow", name)
    config.model = ConfigDict({"name": "flow", "steps": 6, "coupling": "spline", "features": 64, "depth": 1})
    config.model.components = 12
    config.sampler = ConfigDict({"temperature": 1.0})
    config.optimizer.clip_norm = 10.0
    return config
