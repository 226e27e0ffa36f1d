"""An energy-based model of MNIST (28x28), unconditional.

Du & Mordatch 2019 (arXiv:1903.08689): contrastive divergence with Langevin chains that begin at 95 % in a
replay buffer of 10,000 and otherwise in uniform noise, far less noise than the step's size asks for
(samples of a colder energy), clipped gradients, images kept in [-1, 1], regularised energies, a little
noise on the data. `--config.objective.starts="{'name': 'data'}"` starts them at the data instead.

    python -m diffjax.train --config=configs/mnist/ebm.py --workdir=runs/mnist_ebm
    python -m diffjax.evaluate --workdir=runs/mnist_ebm

500 steps of 32 images, 0.27 epochs, are a first look, not the end of the training. Training and evaluation
took 8 minutes of one core (AMD EPYC). Obtained, judged by the classifier of `python -m diffjax.classifier`:
500 samples are at 955 times the floor of the Frechet distance (held-out images: 0.85), with precision 0.54
and recall 0.00. That is a failure: ten steps do not take chains from noise to digits, and the energy only
learns to tell the two apart (-4.5 and 4.5). `configs/digits/ebm.py`, with longer chains and training, works.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("ebm", path)
    config.model = ConfigDict({"name": "conv_energy", "features": 8})
    langevin = {"step_size": 10.0, "noise_std": 0.005, "max_score": 0.01, "box": (-1.0, 1.0)}
    config.objective = ConfigDict(
        {
            "starts": ConfigDict({"name": "persistent", "size": 10_000, "share": 0.95}),
            "steps": 10,
            "regularization": 0.1,
            "data_noise": 0.03,
            **langevin,
        }
    )
    config.sampler = ConfigDict({"steps": 100, **langevin})
    config.optimizer.update({"learning_rate": 5e-4, "clip_norm": 0.1})
    config.training.update({"num_steps": 500, "sample_every": 500})
    return config
