"""Class-conditional VP score model on scikit-learn's handwritten digits (8x8, ten classes).

Song et al. 2021 (arXiv:2011.13456): beta(t) from 0.1 to 20, a network of the noise (the score times -sigma)
with the weighting sigma^2, times uniform in [1e-5, 1], labels dropped for classifier-free guidance (Ho &
Salimans 2022), and the predictor-corrector sampler with the Langevin corrector. Trained on the 1,437 images
of the training split alone. The evaluation measures bits/dim of held-out images by the probability-flow ODE.

    python -m diffjax.train --config=configs/digits/vp.py --workdir=runs/digits_vp
    python -m diffjax.evaluate --workdir=runs/digits_vp

Training and evaluation took 5 minutes of one core (AMD EPYC). Obtained: of 1,437 samples 97.6% are of the
class asked for (98.3% of held-out images), at 0.54 times the floor of the Frechet distance (held-out images:
0.99); 4.94 +- 0.05 bits/dim of 64 held-out images by the ODE.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict({"name": "digits", "shape": (8, 8, 1), "num_classes": 10})
    config.schedule = ConfigDict({"name": "vp_linear", "beta_min": 0.1, "beta_max": 20.0})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 24,
            "channel_mult": (1, 2),
            "num_res_blocks": 1,
            "attention_resolutions": (2,),
            "num_heads": 2,
            "num_classes": 11,  # ten digits and the null label
            "num_groups": 8,
            "dropout": 0.1,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "time_scale": 1000.0,
        }
    )
    config.objective = ConfigDict(
        {"kind": "eps", "times": "uniform", "weighting": "none", "label_dropout": 0.1}
    )
    config.sampler = ConfigDict(
        {
            "solver": "reverse_diffusion",
            "corrector": ConfigDict({"name": "langevin", "snr": 0.16}),
            "steps": 100,
            "grid": "uniform",
        }
    )
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 1100,
            "batch_size": 128,
            "seed": 0,
            "log_every": 50,
            "checkpoint_every": 500,
            "sample_every": 1100,
            "keep": 2,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.995}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 1437, "batch_size": 256, "bound_images": 64})
    return config
