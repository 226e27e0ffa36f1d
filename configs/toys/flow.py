"""Flow matching on points in the plane: a ring of eight Gaussians of unequal weights.

Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003): x_t = (1 - t) x_0 + t eps, a
network of the velocity eps - x_0, and Heun's method from t = 1 to 0. Times are logit-normal (Esser et al.
2024, arXiv:2403.03206); `--config.objective.times="{'name': 'uniform'}"` is the papers' own.
`schedule.shift = m` moves times and levels to t' = m t / (1 + (m - 1) t), that paper's eq. 23 for larger
images: 1 moves nothing.

    python -m diffjax.train --config=configs/toys/flow.py --workdir=runs/ring8_flow
    python -m diffjax.sample --workdir=runs/ring8_flow --num=2000

Any other set of points by its name: `--config=configs/toys/flow.py:checkerboard`.

Training and evaluation took a minute of one core (AMD EPYC). Obtained: sliced 2-Wasserstein distance to
10,000 fresh points 0.019 (among fresh points 0.027), weights of the modes off by 0.015 (0.022), in 49 network
calls.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("ddpm", name)
    config.schedule = ConfigDict({"name": "rectified_flow", "shift": 1.0})
    config.model = common.mlp(time_scale=1000.0)
    config.objective = ConfigDict(
        {"kind": "velocity", "times": ConfigDict({"name": "logit_normal", "mean": 0.0, "std": 1.0})}
    )
    config.sampler = ConfigDict({"solver": "heun", "steps": 25, "grid": "uniform"})
    return config
