"""MeanFlow on points in the plane: one network call from noise to data, without a teacher.

Geng et al. 2025 (arXiv:2505.13447): the network is the average velocity from t to s and learns by its
derivative along the trajectory, a Jacobian-vector product; of two logit-normal times the later is t, and in
three quarters of the rows s = t, which is flow matching. The tangent is the predicted velocity (improved
MeanFlow, arXiv:2512.02012).

    python -m diffjax.train --config=configs/toys/mean_flow.py --workdir=runs/ring8_mean_flow
    python -m diffjax.sample --workdir=runs/ring8_mean_flow --num=2000

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("mean_flow", name)
    config.schedule = ConfigDict({"name": "rectified_flow"})
    config.model = common.mlp(time_scale=1000.0, times=2)
    config.objective = ConfigDict(
        {
            "improved": True,
            "power": 0.75,
            "share_equal": 0.75,
            "times": ConfigDict({"name": "logit_normal", "mean": -0.4, "std": 1.0}),
        }
    )
    config.sampler = ConfigDict({"steps": 1})
    config.training.update({"num_steps": 3000, "sample_every": 1000})
    return config
