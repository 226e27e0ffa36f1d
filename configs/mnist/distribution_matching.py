"""Distribution matching distillation of MNIST (28x28): one network call, two players and a critic.

Yin et al. 2024 (arXiv:2405.14867), DMD2: the difference of two scores of what the generator makes moves it,
the teacher's and that of a network which learns nothing but that, five times as often; a critic of noised
pictures adds the data themselves.

    python -m diffjax.train --config=configs/mnist/edm.py --workdir=runs/mnist_edm
    python -m diffjax.train --config=configs/mnist/distribution_matching.py --workdir=runs/mnist_dmd
    python -m diffjax.evaluate --workdir=runs/mnist_dmd

Not run at this length yet.
"""

from ml_collections import ConfigDict

from diffjax.configs.mnist import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config("distribution_matching", path)
    config.teacher = ConfigDict({"workdir": "runs/mnist_edm"})
    config.objective = ConfigDict(
        {
            "fake_updates": 5,
            "weighting": "snr_plus_one",
            "times": ConfigDict({"name": "log_normal", "mean": -1.2, "std": 1.2}),
            "adversarial": ConfigDict({"name": "non_saturating", "weight": 1e-3}),
        }
    )
    config.critic = ConfigDict({"name": "half_unet", "out_features": 1, "pool": "adaptive"})
    config.critic.update({"model_channels": 16, "channel_mult": (1, 2, 4), "num_res_blocks": 1})
    config.critic.update({"attention_resolutions": (), "num_groups": 8})
    config.sampler = ConfigDict({"steps": 1})
    player = {"name": "adam", "schedule": "constant", "warmup_steps": 100, "clip_norm": 1.0}
    rates = {"fake": 1e-3, "network": 2e-4, "critic": 2e-4}
    config.optimizer = ConfigDict({name: {**player, "learning_rate": rate} for name, rate in rates.items()})
    return config
