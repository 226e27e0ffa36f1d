"""Class-conditional EDM on scikit-learn's handwritten digits (8x8, ten classes).

Karras et al. 2022 (arXiv:2206.00364), table 1, last column: alpha = 1, sigma = t from 0.002 to 80, the
network inside the preconditioning, log sigma of the training drawn from N(-1.2, 1.2^2), the weight
1 / c_out^2, and Heun's method on the rho = 7 grid (35 network calls). sigma_data is the training images'
standard deviation, 0.75. Labels are dropped for classifier-free guidance (Ho & Salimans 2022).

    python -m diffjax.train --config=configs/digits/edm.py --workdir=runs/digits_edm
    python -m diffjax.evaluate --workdir=runs/digits_edm

Training and evaluation took 4 minutes of one core (AMD EPYC). Obtained: of 1,437 samples 97.2% are of the
class asked for (98.3% of held-out images), at 0.56 times the floor of the Frechet distance (held-out images:
0.99); 4.61 +- 0.05 bits/dim of 64 held-out images by the ODE.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ddpm")
    config.schedule = ConfigDict({"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0})
    config.model = common.unet(time_scale=100.0)
    config.objective = ConfigDict(
        {
            "preconditioning": ConfigDict({"name": "edm", "sigma_data": 0.75}),
            "times": ConfigDict({"name": "log_normal", "mean": -1.2, "std": 1.2}),
            "label_dropout": 0.1,
        }
    )
    config.sampler = ConfigDict({"solver": "edm_heun", "steps": 18, "grid": "karras"})
    config.evaluation.bound_images = 64
    return config
