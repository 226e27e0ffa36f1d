"""MeanFlow on MNIST (28x28): one network call from noise to data, without a teacher.

Geng et al. 2025 (arXiv:2505.13447), with the tangent of the predicted velocity (improved MeanFlow) and no
weight but 1: it moves the optimum where one velocity is many.

    python -m diffjax.train --config=configs/mnist/mean_flow.py --workdir=runs/mnist_mean_flow
    python -m diffjax.evaluate --workdir=runs/mnist_mean_flow --sweep_steps=1,2

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("mean_flow", path)
    config.schedule = ConfigDict({"name": "rectified_flow"})
    config.model = common.unet(times=2, time_scale=4.0)
    config.objective = ConfigDict(
        {"improved": True, "power": 0.0, "share_equal": 0.25, "times": "uniform", "label_dropout": 0.1}
    )
    config.sampler = ConfigDict({"steps": 1})
    return config
