"""Consistency in continuous time on scikit-learn's handwritten digits (8x8), distilled: one network call.

Lu & Song 2024 (arXiv:2410.11081), sCM: the tangent by forward mode over its norm, its second part warmed up,
and a learned weight of the levels. The teacher is `configs/digits/teacher.py`, from which the student begins:

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/continuous_consistency.py --workdir=runs/digits_scm
    python -m diffjax.evaluate --workdir=runs/digits_scm --sweep_steps=1,2,4,8 \\
        --evaluators=class_accuracy,frechet --features=classifier:judge.npz

(the judge: `python -m diffjax.classifier --config=configs/digits/teacher.py --out=judge.npz`). Training took
two minutes of a busy core (Intel Xeon). Obtained with training.seed=1 and 2: of 1,437 samples of one network
call 99.2% and 98.9% are of the class asked for, at 5.0 and 4.6 times the floor of the Frechet distance; of
two calls 96.7% and 96.7% at 1.57 and 1.54 times. Expected: 95% at 3 times, which two calls reach and one does
not.

With objective.warmup=500 seed 0 has 97.8% at 2.45 times in one call, but seeds 1 and 2 settle elsewhere (the
logged tangent stays at 0.32 and does not fall to 0.09): 88.4% and 86.9%, at 5.2 and 5.0 times. The long
warm-up keeps them, and leaves the noisiest levels too few steps, which is the likely reason for what one call
lacks.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("continuous_consistency")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict({"sigma_data": 0.75, "mean": -0.8, "std": 1.6, "warmup": 3000})
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer.learning_rate = 3e-4
    config.training.update({"num_steps": 6000, "sample_every": 2000, "checkpoint_every": 3000})
    return config
