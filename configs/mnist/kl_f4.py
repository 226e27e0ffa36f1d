"""An autoencoder of MNIST, four times smaller: 7x7 places with three numbers, a Gaussian each.

Rombach et al. 2022 (arXiv:2112.10752), sections 3.1 and G.1; see `configs/mnist/kl_f2.py`. 147 numbers for
784. What `configs/mnist/latent.py` stands on.

    python -m diffjax.train --config=configs/mnist/kl_f4.py --workdir=runs/mnist_kl_f4
    python -m diffjax.evaluate --workdir=runs/mnist_kl_f4

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common, kl_f2


def get_config(path: str = common.FILE) -> ConfigDict:
    return kl_f2.autoencoder(path, "kl", latent_channels=3, levels=3, kl=1e-6)
