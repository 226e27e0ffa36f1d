"""Distribution matching distillation of scikit-learn's digits (8x8): one network call, two players.

Yin et al. 2024 (arXiv:2405.14867), DMD2, without its adversarial part: the difference of two scores of what
the generator makes moves it, the teacher's and that of a network which learns nothing but that, five times
as often.

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/distribution_matching.py --workdir=runs/digits_dmd
    python -m diffjax.evaluate --workdir=runs/digits_dmd

A minute of one core (Intel Xeon), after the teacher. Obtained by `python -m experiments.one_step.run` with
three seeds: of 1,437 samples of one call 98.4 +- 0.5% are of the class asked for (98.6% of held-out images),
at 2.4 +- 0.2 times the floor of the Frechet distance.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("distribution_matching")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict({"fake_updates": 5, "weighting": "snr_plus_one", "times": "uniform"})
    config.sampler = ConfigDict({"steps": 1})
    player = {"name": "adam", "schedule": "constant", "warmup_steps": 100, "clip_norm": 1.0}
    config.optimizer = ConfigDict(
        {"fake": {**player, "learning_rate": 1e-3}, "network": {**player, "learning_rate": 2e-4}}
    )
    config.training.update({"num_steps": 1000, "sample_every": 500})
    return config
