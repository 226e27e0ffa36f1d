"""Progressive distillation on MNIST (28x28): from 64 steps of DDIM to one, by one command.

Salimans & Ho 2022 (arXiv:2202.00512): a student begins as its teacher and learns to take one step of DDIM
where that takes two, with the weight max(SNR, 1) on the error of x_0, and becomes the teacher of the next.
The learning rate falls to 0 within each phase, and the optimizer begins afresh. The first teacher is the
network of velocities of `configs/mnist/flow.py`:

    python -m diffjax.train --config=configs/mnist/flow.py --workdir=runs/mnist_flow
    python -m diffjax.train --config=configs/mnist/progressive.py --workdir=runs/mnist_progressive
    python -m diffjax.evaluate --workdir=runs/mnist_progressive/steps_4

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("distill", path)
    config.teacher = ConfigDict({"workdir": "runs/mnist_flow"})
    config.objective = ConfigDict({"steps": 64, "grid": "uniform", "weighting": "truncated_snr"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 64, "grid": "uniform"})
    config.optimizer.update({"learning_rate": 1e-3, "schedule": "linear", "warmup_steps": 0})
    config.training.update({"num_steps": 500, "batch_size": 64, "sample_every": 500, "keep": 1})
    config.phases = shared.halving(64)
    return config
