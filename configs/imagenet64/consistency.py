"""Consistency models of ImageNet at 64x64, class-conditional, at the settings of two papers.

Song et al. 2023 (arXiv:2303.01469), appendix C: consistency training ("ct", the default) with N(k) from 2 to
200, and distillation ("cd") of an EDM run with Heun's steps on N = 40 levels and a target of decay 0.95. Geng
et al. 2024 (arXiv:2406.14548), "ect": an EDM run as the beginning, whose gap closes in.

    python -m diffjax.train --config=configs/imagenet64/consistency.py --workdir=runs/imagenet64_ct
    python -m diffjax.train --config=configs/imagenet64/edm.py --workdir=runs/imagenet64_edm
    python -m diffjax.train --config=configs/imagenet64/consistency.py:cd --workdir=runs/imagenet64_cd
    python -m diffjax.train --config=configs/imagenet64/consistency.py:ect --workdir=runs/imagenet64_ect
    python -m diffjax.evaluate --workdir=runs/imagenet64_cd --sweep_steps=1,2

The first paper's FID of 50,000 samples in one call and in two:

    ct     13.0    11.1    800,000 steps of 2048 images
    cd     6.20    4.70    600,000 steps of 2048

Obtained: not run at full size here; "ct" traces, with 295,899,267 parameters, those of `adm.py` but for what
it learns of variances. What differs: the metric of "ct" and "cd", which is l2 where no file is at hand, and
with one the paper's LPIPS by

    --config.objective.metric=perceptual \\
    --config.perceptual="{'pretrained': 'lpips_vgg16_fp16.npz', 'architecture': 'lpips_vgg16'}"

on pictures as they are: theirs are enlarged to 224x224 first.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet64 import adm, common

_OBJECTIVES = {
    "ct": {
        "levels": ConfigDict({"name": "progressive", "s0": 2, "s1": 200}),
        "target": ConfigDict({"name": "adaptive", "mu0": 0.95, "s0": 2}),
        "metric": "l2",
    },
    "cd": {
        "levels": ConfigDict({"name": "fixed", "num_levels": 40}),
        "target": ConfigDict({"name": "constant", "rate": 0.95}),
        "metric": "l2",
        "solver": "heun",
    },
    "ect": {
        "levels": ConfigDict({"name": "closing", "q": 4.0, "k": 8.0, "b": 1.0}),
        "pairs": ConfigDict({"name": "log_normal", "mean": -0.8, "std": 1.6}),
        "metric": ConfigDict({"name": "pseudo_huber", "c": 0.06}),
        "weighting": "inverse_gap",
        "tangent": "data",
    },
}


def get_config(rule: str = "ct") -> ConfigDict:
    steps, rows, rate = {
        "ct": (800_000, 2048, 8e-6),
        "cd": (600_000, 2048, 8e-6),
        "ect": (100_000, 128, 1e-3),
    }[rule]
    config = common.config(num_steps=steps, batch_size=rows)
    config.system = "consistency"
    config.training.ema = ConfigDict({"name": "constant", "decay": 0.999943})
    config.objective = ConfigDict(_OBJECTIVES[rule])
    if rule == "ct":
        config.schedule = ConfigDict({"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0})
        config.model = adm.get_config().model
        config.model.update({"out_channels": 3, "time_scale": 1000.0, "dropout": 0.0})
    else:
        config.teacher = ConfigDict({"workdir": "runs/imagenet64_edm"})
    config.perceptual = None
    config.sampler = ConfigDict({"steps": 1})
    config.optimizer = ConfigDict({"name": "radam", "learning_rate": rate})
    return config
