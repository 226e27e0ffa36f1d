"""An energy-based model of scikit-learn's handwritten digits (8x8), unconditional.

Du & Mordatch 2019 (arXiv:1903.08689): contrastive divergence with Langevin chains that begin at 95 % in a
replay buffer of 10,000 and otherwise in uniform noise, far less noise than the step's size asks for
(samples of a colder energy), clipped gradients, images kept in [-1, 1], regularised energies, a little
noise on the data. `--config.objective.starts="{'name': 'data'}"` starts them at the data instead.

    python -m diffjax.train --config=configs/digits/ebm.py --workdir=runs/digits_ebm
    python -m diffjax.evaluate --workdir=runs/digits_ebm

Training took two and a half minutes of two busy cores (Intel Xeon). Obtained: 1,437 samples are at 3.5 times
the floor of the Frechet distance (held-out images: 0.53), with precision 0.72 and recall 0.84.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ebm")
    config.model = ConfigDict({"name": "conv_energy", "features": 16})
    langevin = {"step_size": 1.0, "noise_std": 0.01, "max_score": 0.1, "box": (-1.0, 1.0)}
    config.objective = ConfigDict(
        {
            "starts": ConfigDict({"name": "persistent", "size": 10_000, "share": 0.95}),
            "steps": 20,
            "regularization": 0.1,
            "data_noise": 0.03,
            **langevin,
        }
    )
    config.sampler = ConfigDict({"steps": 300, **langevin})
    config.optimizer.update({"learning_rate": 5e-4, "clip_norm": 0.1})
    config.training.update({"num_steps": 1500, "batch_size": 64, "sample_every": 1500})
    config.evaluation.batch_size = 479
    return config
