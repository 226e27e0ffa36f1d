"""Consistency model of scikit-learn's handwritten digits (8x8), distilled: one network call an image.

Song et al. 2023 (arXiv:2303.01469), consistency distillation with the teacher's Heun step on N = 18 levels of
the rho = 7 grid, target of a moving average; the metric is pseudo-Huber (Song & Dhariwal 2023,
arXiv:2310.14189). The teacher is `configs/digits/teacher.py`, from which the student begins:

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/consistency.py --workdir=runs/digits_consistency
    python -m diffjax.evaluate --workdir=runs/digits_consistency --sweep_steps=1,2,4

Training took 8 minutes of two busy cores (Intel Xeon), one of a core's own. Obtained: of 1,437 samples of one
network call 92.4% are of the class asked for, at 3.2 times the floor of the Frechet distance; of 8 calls
95.0% at 2.7 times. Expected: 95% in one call at 3 times, which is not reached.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("consistency")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict(
        {
            "levels": ConfigDict({"name": "fixed", "num_levels": 18}),
            "target": ConfigDict({"name": "constant", "rate": 0.95}),
            "metric": ConfigDict({"name": "pseudo_huber", "c": 0.05}),
            "solver": "heun",
        }
    )
    config.perceptual = None
    config.sampler = ConfigDict({"steps": 1})
    config.training.update({"num_steps": 3000, "sample_every": 1000, "checkpoint_every": 1500})
    return config
