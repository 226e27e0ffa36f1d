"""Shortcut model of points in the plane: any number of network calls from one network, without a teacher.

Frans et al. 2024 (arXiv:2410.12557): the average velocity from t to s is that of two hops of half the way,
down to hops of 1 / 128, and in three quarters of the rows the velocity itself (flow matching); the hops are
those of a moving average.

    python -m diffjax.train --config=configs/toys/shortcut.py --workdir=runs/ring8_shortcut
    python -m diffjax.sample --workdir=runs/ring8_shortcut --num=2000 --steps=4

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common, mean_flow


def get_config(name: str = "ring8") -> ConfigDict:
    config = mean_flow.get_config(name)
    config.model = common.mlp(time_scale=10.0, times=2)
    config.objective = ConfigDict(
        {
            "rule": ConfigDict({"name": "semigroup", "finest": 128}),
            "target": ConfigDict({"name": "constant", "rate": 0.999}),
            "share_equal": 0.75,
            "times": "uniform",
        }
    )
    return config
