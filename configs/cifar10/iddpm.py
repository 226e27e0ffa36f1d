"""Improved DDPM on CIFAR-10 (32x32, unconditional): cosine schedule, learned variances, L_hybrid.

Nichol & Dhariwal 2021, table 2, row "4K, cosine, L_hybrid", after 500 thousand updates.

    python -m diffjax.train --config=configs/cifar10/iddpm.py --workdir=runs/cifar10_iddpm
    python -m diffjax.evaluate --workdir=runs/cifar10_iddpm

The paper, the last rows of that table, 50,000 samples of 4000 ancestral steps:

    loss                                               FID      bits/dim
    L_hybrid                                           3.19     3.17
    L_simple                                           3.05     3.26
    L_vlb: `configs/cifar10/iddpm.py:bound`            11.47    2.94

Obtained: not run at full size here; it builds and traces, with 52,546,438 parameters. The authors' flags:
128 channels, 3 residual blocks, 4 heads of attention at 16x16 and 8x8, dropout 0.3, Adam at 1e-4, batches of
128, times scaled to 0..1000 before their embedding, no flips. L_vlb draws times by the second moment of
their loss (section 3.3).

Data: CIFAR-10 as TFDS prepares it; without it the command says how. The authors' FID is over InceptionV3.
"""

from ml_collections import ConfigDict

from diffjax.configs.cifar10 import common


def get_config(loss: str = "hybrid") -> ConfigDict:
    config = common.config(num_steps=500_000, sample_every=50_000)
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 4000})
    config.model = common.unet(
        out_channels=6,  # the last three are v of the learned variance, equation (15)
        num_res_blocks=3,
        attention_resolutions=(2, 4),  # 16x16 and 8x8
        num_heads=4,
        dropout=0.3,
        use_scale_shift_norm=True,
        time_scale=0.25,  # 1000 / T
    )
    config.objective = ConfigDict({"kind": "eps", "loss": loss, "variance": "learned_range"})
    if loss == "hybrid":
        config.objective.bound_weight = 0.001
    else:
        config.objective.times = "second_moment"
    config.sampler = common.ancestral(4000, "learned_range")
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-4})
    return config
