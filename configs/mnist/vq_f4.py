"""An autoencoder of MNIST, four times smaller: 7x7 places, each one of 128 vectors of four numbers.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1, VQ-reg.; the table follows averages (van den Oord et al.
2017, appendix A.1), and vectors that hardly anything takes begin anew; see `configs/mnist/kl_f2.py`.

    python -m diffjax.train --config=configs/mnist/vq_f4.py --workdir=runs/mnist_vq_f4
    python -m diffjax.evaluate --workdir=runs/mnist_vq_f4

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common, kl_f2


def get_config(path: str = common.FILE) -> ConfigDict:
    table = {"codes": 128, "averaged": True}
    return kl_f2.autoencoder(path, "vq", 4, 3, model=table, commitment=0.25, restart=0.1)
