"""DDPM on CIFAR-10 (32x32, unconditional), trained by L_simple: the paper's main result.

Ho et al. 2020, section 4 and appendix B; table 1, row "Ours (L_simple)", which is table 2's last row too.

    python -m diffjax.train --config=configs/cifar10/ddpm.py --workdir=runs/cifar10_ddpm
    python -m diffjax.evaluate --workdir=runs/cifar10_ddpm

The paper, 1000 ancestral steps with the larger variance, 50,000 samples against the training set:

    FID    Inception score    bits/dim    parameters    steps
    3.17   9.46 +- 0.11       <= 3.75     35.7M         800,000 of 128 images

Obtained: not run at full size here; it builds and traces, with 35,746,307 parameters, the paper's network to
the last one. What differs from the authors' code: the time's embedding has ADM's frequencies and order of
sines and cosines, and parameters start by Flax's rules.

Data: CIFAR-10 as TFDS prepares it; without it the command says how. The authors' FID is over InceptionV3.
"""

from ml_collections import ConfigDict

from diffjax.configs.cifar10 import common


def get_config() -> ConfigDict:
    config = common.config(num_steps=800_000, sample_every=20_000)
    config.data.flip = True
    config.schedule = ConfigDict(
        {"name": "linear_beta", "num_steps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
    )
    config.model = common.unet(num_res_blocks=2, attention_resolutions=(2,), num_heads=1, dropout=0.1)
    config.objective = ConfigDict({"kind": "eps", "weighting": "none"})
    config.sampler = common.ancestral(1000, "fixed_large")
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-4, "warmup_steps": 5000, "clip_norm": 1.0}
    )
    return config
