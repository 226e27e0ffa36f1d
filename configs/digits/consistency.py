"""Consistency model of scikit-learn's handwritten digits (8x8), distilled: one network call an image.

Song et al. 2023 (arXiv:2303.01469), consistency distillation with the teacher's Euler step on N = 10 levels
of the rho = 7 grid, target of a moving average; the metric is pseudo-Huber (Song & Dhariwal 2023,
arXiv:2310.14189). The teacher is `configs/digits/teacher.py`, from which the student begins:

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/consistency.py --workdir=runs/digits_consistency
    python -m diffjax.evaluate --workdir=runs/digits_consistency --sweep_steps=1,2,4,8 \\
        --evaluators=class_accuracy,frechet --features=classifier:judge.npz

(the judge: `python -m diffjax.classifier --config=configs/digits/teacher.py --out=judge.npz`). Training took
a minute and a half on a busy core (Intel Xeon). Obtained, mean of three seeds (training.seed=0, 1, 2, one
teacher): of 1,437 samples of one network call 98.8% (98.7 to 98.9) are of the class asked for, at 2.08 times
the floor of the Frechet distance (2.06 to 2.10); of two calls 99.0% at 1.76 times. Expected: 95% at 3 times.
The paper's step of Heun and N = 18 are worse here (`experiments/consistency`).
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("consistency")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict(
        {
            "levels": ConfigDict({"name": "fixed", "num_levels": 10}),
            "target": ConfigDict({"name": "constant", "rate": 0.95}),
            "metric": ConfigDict({"name": "pseudo_huber", "c": 0.05}),
            "solver": "euler",
        }
    )
    config.perceptual = None
    config.sampler = ConfigDict({"steps": 1})
    config.training.update({"num_steps": 3000, "sample_every": 1000, "checkpoint_every": 1500})
    return config
