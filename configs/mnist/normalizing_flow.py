"""A normalizing flow of MNIST (28x28), unconditional.

Flow++ (Ho et al. 2019, arXiv:1902.00275) made small: couplings by mixtures of logistics, mixings of channels
as Glow's (Kingma & Dhariwal 2018, arXiv:1807.03039), two scales, and noise within the pixels' bins by a
network. Large ones have 1.06 bits/dim (RealNVP) and 1.05 (Glow), as Grathwohl et al. 2018 (arXiv:1810.01367)
report them.

    python -m diffjax.train --config=configs/mnist/normalizing_flow.py --workdir=runs/mnist_normalizing_flow
    python -m diffjax.evaluate --workdir=runs/mnist_normalizing_flow --bound_images=1000

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("normalizing_flow", path)
    config.model = ConfigDict({"name": "flow", "steps": 4, "scales": 2, "coupling": "mixture"})
    config.model.update({"features": 48, "depth": 1, "components": 4})
    config.objective = ConfigDict({"dequantisation": "variational"})
    config.sampler = ConfigDict({"temperature": 1.0})
    config.optimizer.clip_norm = 10.0
    config.training.update({"num_steps": 20_000, "checkpoint_every": 5000})
    config.evaluation.update({"num_samples": 5000, "bound_images": 1000})
    return config
