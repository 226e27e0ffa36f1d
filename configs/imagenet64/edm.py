"""EDM on ImageNet at 64x64, class-conditional: the teacher of `configs/imagenet64/consistency.py`.

Karras et al. 2022 (arXiv:2206.00364), appendix F: ADM's network, 2500 million images in batches of 4096, Adam
at 1e-4, an average with a half-life of 50 million images, dropout 0.1.

    python -m diffjax.train --config=configs/imagenet64/edm.py --workdir=runs/imagenet64_edm
    python -m diffjax.evaluate --workdir=runs/imagenet64_edm

The paper, 50,000 samples of 256 stochastic steps (511 network calls, S_churn 40, S_min 0.05, S_max 50,
S_noise 1.003): FID 1.36.

Obtained: not run at full size here; it builds and traces, with 295,899,267 parameters, those of `adm.py` but
for what it learns of variances. A batch of 4096 wants many devices, or `training.accumulate`.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet64 import adm, common


def get_config() -> ConfigDict:
    config = common.config(num_steps=610_352, batch_size=4096)
    config.training.ema = ConfigDict({"name": "half_life", "images": 50_000_000})
    config.schedule = ConfigDict({"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0})
    config.model = adm.get_config().model
    config.model.update({"out_channels": 3, "time_scale": 1000.0})
    config.objective = ConfigDict(
        {
            "preconditioning": ConfigDict({"name": "edm", "sigma_data": 0.5}),
            "times": ConfigDict({"name": "log_normal", "mean": -1.2, "std": 1.2}),
        }
    )
    churn = {"s_churn": 40.0, "s_min": 0.05, "s_max": 50.0, "s_noise": 1.003}
    config.sampler = ConfigDict({"solver": "edm_heun", "steps": 256, "grid": "karras", **churn})
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 1e-4, "schedule": "constant", "warmup_steps": 2441}
    )
    return config
