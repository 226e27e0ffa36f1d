"""DDPM-IP on MNIST: DDPM trained on perturbed inputs.

Ning et al. 2023, algorithm 1, with their gamma = 0.1. All else is that of `configs/mnist/ddpm.py`.

    python -m diffjax.train --config=configs/mnist/ddpm_ip.py --workdir=runs/mnist_ddpm_ip --cpu_devices=2
    python -m diffjax.evaluate --workdir=runs/mnist_ddpm_ip

Not run at this length yet; `experiments/ddpm_ip` has what input perturbation does on digits.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common, ddpm


def get_config(path: str = common.FILE) -> ConfigDict:
    config = ddpm.get_config(path)
    config.objective.input_perturbation = 0.1
    del config.evaluation.bound_images
    return config
