"""Class-conditional VE score model on MNIST (28x28, ten classes).

Song et al. 2021 (arXiv:2011.13456): sigma from 0.01 to 32 (the largest distance of two training images), the
network F of the scaled score inside NCSN++'s preconditioning, D = x + sigma F(x, log(sigma / 2)), times
uniform in [1e-5, 1] and so log sigma, labels dropped for classifier-free guidance (Ho & Salimans 2022).
Sampled by Heun's method on the rho = 7 grid (Karras et al. 2022): the paper's predictor-corrector wants many
more calls than two cores have (100 of them leave 22 % of the samples in the class asked for).

    python -m diffjax.train --config=configs/mnist/ve.py --workdir=runs/mnist_ve
    python -m diffjax.evaluate --workdir=runs/mnist_ve

1,000 steps of 32 images, 0.53 epochs, are a first look, not the end of the training. Training and evaluation
took 8 minutes of one core (AMD EPYC). Obtained, judged by the classifier of `python -m diffjax.classifier`:
of 500 samples 28.8% are of the class asked for (99.1% of held-out images), at 368 times the floor of the
Frechet distance (held-out images: 1.5); 1.76 +- 0.05 bits/dim of 32 held-out images by the ODE.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("ddpm", path)
    config.schedule = ConfigDict({"name": "ve", "sigma_min": 0.01, "sigma_max": 32.0})
    config.model = common.unet(time_scale=25.0)
    config.objective = ConfigDict(
        {"preconditioning": "ve", "times": "uniform", "weighting": "none", "label_dropout": 0.1}
    )
    config.sampler = ConfigDict({"solver": "edm_heun", "steps": 18, "grid": "karras"})
    config.evaluation.bound_images = 32
    return config
