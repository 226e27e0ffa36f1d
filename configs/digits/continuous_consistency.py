"""Consistency in continuous time on scikit-learn's handwritten digits (8x8), distilled: one network call.

Lu & Song 2024 (arXiv:2410.11081), sCM: the tangent by forward mode over its norm, its second part warmed
up, and a learned weight of the levels. The teacher is `configs/digits/teacher.py`, from which the student
begins:

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/continuous_consistency.py --workdir=runs/digits_scm
    python -m diffjax.evaluate --workdir=runs/digits_scm --sweep_steps=1,2,4,8

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("continuous_consistency")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict({"sigma_data": 0.75, "mean": -0.8, "std": 1.6, "warmup": 500})
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer.learning_rate = 1e-3
    config.training.update({"num_steps": 3000, "sample_every": 1000, "checkpoint_every": 1500})
    return config
