"""Shortcut model of MNIST (28x28): any number of network calls from one network, without a teacher.

Frans et al. 2024 (arXiv:2410.12557): the average velocity from t to s is that of two hops of half the way,
down to hops of 1 / 128, and in three quarters of the rows the velocity itself (flow matching); the hops are
those of a moving average.

    python -m diffjax.train --config=configs/mnist/shortcut.py --workdir=runs/mnist_shortcut
    python -m diffjax.evaluate --workdir=runs/mnist_shortcut --sweep_steps=1,2,4,8

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.mnist import common, mean_flow


def get_config(path: str = common.FILE) -> ConfigDict:
    config = mean_flow.get_config(path)
    config.objective = shared.shortcut(rate=0.999, share_equal=0.75, label_dropout=0.1)
    config.sampler = ConfigDict({"steps": 4})
    return config
