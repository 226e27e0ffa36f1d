"""A variational autoencoder of MNIST (28x28), unconditional, its pixels black and white by chance.

Kingma & Welling 2013 (arXiv:1312.6114), pixels black or white by chance, as Burda et al. 2015
(arXiv:1509.00519) have them, whose VAE of one level takes 86.76 nats a picture by the bound of 5,000 draws.

    python -m diffjax.train --config=configs/mnist/vae.py --workdir=runs/mnist_vae
    python -m diffjax.evaluate --workdir=runs/mnist_vae --bound_images=1000

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("vae", path)
    config.model = ConfigDict({"name": "ladder", "latents": (50,), "features": 400, "depth": 2})
    config.objective = ConfigDict(
        {"likelihood": "bernoulli", "beta": 1.0, "warmup": 2000, "importance_samples": 500}
    )
    config.sampler = ConfigDict({"noise": False})
    config.optimizer.learning_rate = 1e-3
    config.training.update({"num_steps": 20_000, "batch_size": 128, "checkpoint_every": 5000})
    config.evaluation.update({"num_samples": 5000, "bound_images": 1000})
    return config
