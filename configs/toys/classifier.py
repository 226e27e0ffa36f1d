"""A noisy classifier of points in the plane: which Gaussian of the ring a noised point comes from.

Dhariwal & Nichol 2021 (arXiv:2105.05233), section 4, on the linear schedule of `configs/toys/ddpm.py`. The
law of the points is known, and so is the best that any classifier can do: the report has both at every level.

    python -m diffjax.train --config=configs/toys/classifier.py --workdir=runs/ring8_classifier
    python -m diffjax.evaluate --workdir=runs/ring8_classifier

Any other labelled set of points by its name: `--config=configs/toys/classifier.py:grid25`.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common

CLASSES = {"ring8": 8, "grid25": 25, "two_modes": 2, "moons": 2}


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("classifier", name)
    config.data.num_classes = CLASSES.get(name)
    config.schedule = ConfigDict({"name": "linear_beta", "num_steps": 1000})
    config.model = common.mlp(out_features=CLASSES.get(name))
    config.objective = ConfigDict({"times": "uniform"})
    config.evaluation.reference = 20_000
    return config
