"""The teacher of the few-step models of scikit-learn's handwritten digits (8x8).

A network of v (Salimans & Ho 2022, arXiv:2202.00512) on the cosine schedule, sampled by DDIM in 64 steps.
It is an MLP, which two cores can distil in many ways; its time is told by low frequencies, as what is
differentiated in time should be (Lu & Song 2024, arXiv:2410.11081).

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.evaluate --workdir=runs/digits_teacher --sweep_steps=1,2,4,8,16,64

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("ddpm")
    config.schedule = ConfigDict({"name": "vp_cosine"})
    config.model = common.mlp()
    config.objective = ConfigDict({"kind": "v", "times": "uniform", "label_dropout": 0.1})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 64, "grid": "uniform"})
    config.training.update({"num_steps": 3000, "sample_every": 3000, "checkpoint_every": 1500})
    return config
