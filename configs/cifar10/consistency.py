"""Consistency models of CIFAR-10 (32x32, unconditional), at the settings of three papers.

Song et al. 2023 (arXiv:2303.01469), appendix C: consistency training ("ct", the default) with N(k) from 2 to
150 and the adaptive target. Song & Dhariwal 2023 (arXiv:2310.14189), "ict": no moving target, pseudo-Huber,
log-normal levels, N doubled from 10 to 1280, the weight of the inverse gap. Geng et al. 2024
(arXiv:2406.14548), "ect": an EDM run as the beginning, whose gap closes in.

    python -m diffjax.train --config=configs/cifar10/consistency.py --workdir=runs/cifar10_ct
    python -m diffjax.train --config=configs/cifar10/consistency.py:ict --workdir=runs/cifar10_ict
    python -m diffjax.train --config=configs/cifar10/edm.py --workdir=runs/cifar10_edm
    python -m diffjax.train --config=configs/cifar10/consistency.py:ect --workdir=runs/cifar10_ect
    python -m diffjax.evaluate --workdir=runs/cifar10_ict --sweep_steps=1,2

The papers' FID of 50,000 samples in one call and in two:

    ct     8.70    5.83    800,000 steps of 512 images
    ict    2.83    2.46    400,000 steps of 1024
    ect    3.60    2.11    400,000 steps of 128, after EDM's own training

Obtained: not run at full size here; "ct" traces, with 67,635,459 parameters. What differs: the network is the
house's U-Net of four blocks a level, not EDM's NCSN++; averages are of a constant decay; and the metric of
"ct", which is l2 where no file is at hand, and with one the paper's LPIPS by

    --config.objective.metric=perceptual \\
    --config.perceptual="{'pretrained': 'lpips_vgg16_fp16.npz', 'architecture': 'lpips_vgg16'}"

on pictures as they are: theirs are enlarged to 224x224 first.
"""

from ml_collections import ConfigDict

from diffjax.configs.cifar10 import common

_CT = {
    "levels": ConfigDict({"name": "progressive", "s0": 2, "s1": 150}),
    "target": ConfigDict({"name": "adaptive", "mu0": 0.9, "s0": 2}),
    "metric": "l2",
}
_ICT = {
    "levels": ConfigDict({"name": "doubling", "s0": 10, "s1": 1280}),
    "pairs": ConfigDict({"name": "log_normal", "mean": -1.1, "std": 2.0}),
    "metric": "pseudo_huber",
    "weighting": "inverse_gap",
}
_ECT = {
    "levels": ConfigDict({"name": "closing", "q": 2.0, "k": 8.0, "b": 1.0, "doubled_every": 50_000}),
    "pairs": ConfigDict({"name": "log_normal", "mean": -1.1, "std": 2.0}),
    "metric": ConfigDict({"name": "pseudo_huber", "c": 0.06}),
    "weighting": "inverse_gap",
    "tangent": "data",
}


def get_config(rule: str = "ct") -> ConfigDict:
    objective, steps, rows, rate, dropout = {
        "ct": (_CT, 800_000, 512, 4e-4, 0.0),
        "ict": (_ICT, 400_000, 1024, 1e-4, 0.3),
        "ect": (_ECT, 400_000, 128, 1e-4, 0.2),
    }[rule]
    config = common.config(num_steps=steps, sample_every=20_000)
    config.system = "consistency"
    config.training.batch_size = rows
    config.data.flip = rule != "ct"
    config.objective = ConfigDict(objective)
    if rule == "ect":
        config.teacher = ConfigDict({"workdir": "runs/cifar10_edm"})
    else:
        config.schedule = ConfigDict({"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0})
        config.model = common.unet(
            num_res_blocks=4,
            attention_resolutions=(2,),
            dropout=dropout,
            use_scale_shift_norm=True,
            resblock_updown=True,
            time_scale=1000.0,
        )
    config.perceptual = None
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer = ConfigDict({"name": "radam", "learning_rate": rate})
    return config
