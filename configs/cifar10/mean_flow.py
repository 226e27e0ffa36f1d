"""MeanFlow on CIFAR-10 (32x32, unconditional): one network call, learned without a teacher.

Geng et al. 2025 (arXiv:2505.13447), as the authors' PyTorch repository trains it ("v1", which they say comes
near an FID of 2.9 in one call after 800,000 steps of 1024 images): t and s differ in 75% of the rows, t is
logit-normal(-0.6, 1.6) and s logit-normal(-4, 1.6), put in order, the weight's power is 0.75, the rate warms
up for 200 epochs.

    python -m diffjax.train --config=configs/cifar10/mean_flow.py --workdir=runs/cifar10_mean_flow
    python -m diffjax.evaluate --workdir=runs/cifar10_mean_flow --sweep_steps=1,2

Obtained: not run at full size here; it traces, with 67,964,163 parameters. What differs: the network is the
house's U-Net of four blocks a level, not EDM's NCSN++, and pictures are mirrored, not augmented as EDM does.
`--config.objective.improved=True` is the tangent of improved MeanFlow, whose power is 1.
"""

from ml_collections import ConfigDict

from diffjax.configs.cifar10 import common


def get_config() -> ConfigDict:
    config = common.config(num_steps=800_000, sample_every=20_000)
    config.system = "mean_flow"
    config.training.update({"batch_size": 1024, "ema": ConfigDict({"name": "constant", "decay": 0.99995})})
    config.data.flip = True
    config.schedule = ConfigDict({"name": "rectified_flow"})
    config.model = common.unet(
        num_res_blocks=4,
        attention_resolutions=(2,),
        dropout=0.2,
        use_scale_shift_norm=True,
        resblock_updown=True,
        time_scale=100.0,
        times=2,
    )
    config.objective = ConfigDict(
        {
            "power": 0.75,
            "share_equal": 0.25,
            "times": ConfigDict({"name": "logit_normal", "mean": -0.6, "std": 1.6}),
            "times_s": ConfigDict({"name": "logit_normal", "mean": -4.0, "std": 1.6}),
        }
    )
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 6e-4, "warmup_steps": 10_000})
    return config
