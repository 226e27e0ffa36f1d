"""Guided distillation on scikit-learn's handwritten digits (8x8): the guidance weight becomes an input.

Meng et al. 2023 (arXiv:2210.03142), the first stage: the student says for every w of [0, 4] in one call what
its teacher, guided by w, says in two. `configs/digits/progressive.py` halves its steps after that:

    python -m diffjax.train --config=configs/digits/teacher.py --workdir=runs/digits_teacher
    python -m diffjax.train --config=configs/digits/distill_guidance.py --workdir=runs/digits_guidance
    python -m diffjax.sample --workdir=runs/digits_guidance --num=64 --ask=guidance=0,2
    python -m diffjax.evaluate --workdir=runs/digits_guidance --guidance_weights=0,1,2
    python -m diffjax.train --config=configs/digits/progressive.py \\
        --config.teacher.workdir=runs/digits_guidance --workdir=runs/digits_guided_progressive

Training took 2 minutes of a core shared with other programs (Intel Xeon), half a minute of its own. Obtained
of 1,437 samples of 64 steps, share of the class asked for and Frechet distance over its floor of 0.266:

    w                                       0             1             2
    student, 64 calls                       94.9 %, 1.81  99.9 %, 3.11  99.9 %, 6.03
    the teacher guided by w, 64 calls, 128  95.9 %, 1.45  99.9 %, 3.61  99.9 %, 5.91

`experiments/progressive_distillation` has such students in 16 calls and fewer, of a teacher trained longer.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("distill_guidance")
    config.teacher = ConfigDict({"workdir": "runs/digits_teacher"})
    config.objective = ConfigDict({"weights": (0.0, 4.0), "weighting": "truncated_snr", "times": "uniform"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 64, "grid": "uniform", "guidance_weight": 1.0})
    config.training.update({"num_steps": 2000, "sample_every": 2000, "checkpoint_every": 1000})
    return config
