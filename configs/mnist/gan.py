"""A generative adversarial network of MNIST (28x28), class-conditional.

Goodfellow et al. 2014 (arXiv:1406.2661) with networks like DCGAN's (Radford et al. 2015, arXiv:1511.06434),
R1 (Mescheder et al. 2018, arXiv:1801.04406) and classes by a projection (Miyato & Koyama 2018,
arXiv:1802.05637).

    python -m diffjax.train --config=configs/mnist/gan.py --workdir=runs/mnist_gan
    python -m diffjax.evaluate --workdir=runs/mnist_gan

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs import common as shared
from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("gan", path)
    config.model = ConfigDict(
        {"name": "conv", "latent": 64, "features": 32, "doublings": 2, "num_classes": 10}
    )
    config.discriminator = ConfigDict({"name": "conv", "features": 32, "spectral_norm": False})
    config.objective = ConfigDict({"loss": "non_saturating", "penalty": {"name": "r1", "weight": 10.0}})
    config.objective.discriminator_steps = 1
    player = shared.adam()
    player.update({"learning_rate": 5e-4, "b1": 0.0, "clip_norm": None})
    config.optimizer = ConfigDict({"discriminator": player, "generator": player})
    config.training.update({"num_steps": 10_000, "batch_size": 64, "checkpoint_every": 2000})
    config.evaluation.num_samples = 5000
    return config
