"""MeanFlow on scikit-learn's handwritten digits (8x8): one network call, without a teacher.

Geng et al. 2025 (arXiv:2505.13447), with the tangent of the predicted velocity (improved MeanFlow) and no
weight but 1: it moves the optimum where one velocity is many.

    python -m diffjax.train --config=configs/digits/mean_flow.py --workdir=runs/digits_mean_flow
    python -m diffjax.evaluate --workdir=runs/digits_mean_flow --sweep_steps=1,2,4,8

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("mean_flow")
    config.schedule = ConfigDict({"name": "rectified_flow"})
    config.model = common.mlp(times=2, time_scale=4.0)
    config.objective = ConfigDict(
        {"improved": True, "power": 0.0, "share_equal": 0.25, "times": "uniform", "label_dropout": 0.1}
    )
    config.sampler = ConfigDict({"steps": 1})
    config.training.update({"num_steps": 4000, "sample_every": 2000, "checkpoint_every": 2000})
    return config
