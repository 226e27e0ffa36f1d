"""Guided distillation on MNIST (28x28): the guidance weight becomes an input of one network.

Meng et al. 2023 (arXiv:2210.03142), the first stage: the student says for every w of [0, 4] what its teacher,
guided by w, says in two calls. `configs/mnist/progressive.py` halves its steps after that. The teacher is
`configs/mnist/flow.py`, whose labels were dropped:

    python -m diffjax.train --config=configs/mnist/flow.py --workdir=runs/mnist_flow
    python -m diffjax.train --config=configs/mnist/distill_guidance.py --workdir=runs/mnist_guidance
    python -m diffjax.train --config=configs/mnist/progressive.py \\
        --config.teacher.workdir=runs/mnist_guidance --workdir=runs/mnist_guided
    python -m diffjax.sample --workdir=runs/mnist_guided/steps_4 --num=100 --ask=guidance=0.5

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("distill_guidance", path)
    config.teacher = ConfigDict({"workdir": "runs/mnist_flow"})
    config.objective = ConfigDict({"weights": (0.0, 4.0), "weighting": "truncated_snr", "times": "uniform"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 64, "grid": "uniform", "guidance_weight": 0.5})
    return config
