"""Consistency in continuous time on MNIST (28x28), distilled: one network call an image.

Lu & Song 2024 (arXiv:2410.11081), sCM: the tangent by forward mode over its norm, its second part warmed
up, and a learned weight of the levels. The teacher is `configs/mnist/edm.py`, from which the student begins;
its time is the logarithm of the noise by low frequencies, as what is differentiated in time should be:

    python -m diffjax.train --config=configs/mnist/edm.py --config.model.time_scale=4.0 \\
        --workdir=runs/mnist_slow_edm
    python -m diffjax.train --config=configs/mnist/continuous_consistency.py --workdir=runs/mnist_scm
    python -m diffjax.evaluate --workdir=runs/mnist_scm --sweep_steps=1,2,4,8

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("continuous_consistency", path)
    config.teacher = ConfigDict({"workdir": "runs/mnist_slow_edm"})
    config.objective = ConfigDict({"sigma_data": 0.62, "mean": -0.8, "std": 1.6, "warmup": 300})
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer.learning_rate = 3e-4
    return config
