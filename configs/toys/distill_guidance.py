"""Guided distillation on points in the plane: the guidance weight becomes an input of one network.

Meng et al. 2023 (arXiv:2210.03142), the first stage: the student says for every w of [0, 4] what its teacher,
guided by w, says in two calls. `configs/toys/progressive.py` halves its steps after that. The teacher knows
the eight modes as classes:

    python -m diffjax.train --config=configs/toys/flow.py --config.schedule.name=vp_cosine \\
        --config.objective="{'kind': 'v', 'times': {'name': 'uniform'}, 'label_dropout': 0.1}" \\
        --config.data.num_classes=8 --config.model.num_classes=9 --workdir=runs/ring8_labelled
    python -m diffjax.train --config=configs/toys/distill_guidance.py --workdir=runs/ring8_guidance
    python -m diffjax.sample --workdir=runs/ring8_guidance --num=2000 --ask=guidance=0,2

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("distill_guidance", name)
    config.data.num_classes = 8
    config.teacher = ConfigDict({"workdir": "runs/ring8_labelled"})
    config.objective = ConfigDict({"weights": (0.0, 4.0), "weighting": "truncated_snr", "times": "uniform"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 64, "grid": "uniform", "guidance_weight": 1.0})
    config.training.update({"num_steps": 2000, "sample_every": 1000})
    return config
