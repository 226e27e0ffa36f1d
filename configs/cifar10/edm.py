"""EDM on CIFAR-10 (32x32, unconditional): the teacher of `configs/cifar10/consistency.py`.

Karras et al. 2022 (arXiv:2206.00364), table 2, configuration E, and appendix F: 200 million images in batches
of 512, Adam at 1e-3 after 10 million images of warm-up, an average with a half-life of 500 thousand images,
dropout 0.13, mirror images.

    python -m diffjax.train --config=configs/cifar10/edm.py --workdir=runs/cifar10_edm
    python -m diffjax.evaluate --workdir=runs/cifar10_edm

The paper, 18 steps of Heun's method (35 network calls), 50,000 samples: FID 2.05, and 1.97 with augmentation
of the pictures (configuration F), which is not here.

Obtained: not run at full size here; it builds and traces, with 67,635,459 parameters. What differs: the
network is the house's U-Net of four blocks a level with attention at 16x16, not DDPM++.
"""

from ml_collections import ConfigDict

from diffjax.configs.cifar10 import common


def get_config() -> ConfigDict:
    config = common.config(num_steps=390_625, sample_every=20_000)
    config.training.batch_size = 512
    config.training.ema = ConfigDict({"name": "half_life", "images": 500_000})
    config.data.flip = True
    config.schedule = ConfigDict({"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0})
    config.model = common.unet(
        num_res_blocks=4,
        attention_resolutions=(2,),
        dropout=0.13,
        use_scale_shift_norm=True,
        resblock_updown=True,
        time_scale=1000.0,
    )
    config.objective = ConfigDict(
        {
            "preconditioning": ConfigDict({"name": "edm", "sigma_data": 0.5}),
            "times": ConfigDict({"name": "log_normal", "mean": -1.2, "std": 1.2}),
        }
    )
    config.sampler = ConfigDict({"solver": "edm_heun", "steps": 18, "grid": "karras"})
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 1e-3, "schedule": "constant", "warmup_steps": 19_531}
    )
    return config
