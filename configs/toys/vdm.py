"""Variational diffusion model on points in the plane: a ring of eight Gaussians of unequal weights.

Kingma et al. 2021 (arXiv:2107.00630): the bound in continuous time is the loss, in bits per dimension (of a
density, so it may be negative), and gamma(t) = -log SNR is learned with the network: its ends by the bound,
what is between them so that the loss varies less. The network sees Fourier features of the points
(`model.frequencies`) and is told gamma. `schedule.name = "log_snr_linear"` without a width is the fixed
schedule. Sampled by ancestral steps of the trained schedule; "ddim" is the other choice.

    python -m diffjax.train --config=configs/toys/vdm.py --workdir=runs/ring8_vdm
    python -m diffjax.sample --workdir=runs/ring8_vdm --num=2000

Any other set of points by its name: `--config=configs/toys/vdm.py:checkerboard`.

Training and evaluation took a minute of one core (AMD EPYC). Obtained: sliced 2-Wasserstein distance to
10,000 fresh points 0.023 (among fresh points 0.027), weights of the modes off by 0.011 (0.022), in 250
network calls.
"""

from ml_collections import ConfigDict


def get_config(name="ring8"):
    config = ConfigDict()
    config.system = "vdm"
    config.data = ConfigDict({"name": name, "shape": (2,), "num_examples": 20_000})
    config.schedule = ConfigDict({"name": "learned", "log_snr_max": 10.0, "log_snr_min": -7.0, "width": 256})
    config.model = ConfigDict({"name": "mlp", "width": 128, "depth": 3, "frequencies": 4, "time_scale": 50.0})
    config.objective = ConfigDict({"kind": "eps"})
    config.sampler = ConfigDict({"solver": "ancestral", "steps": 250, "grid": "uniform"})
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 5000,
            "batch_size": 512,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 1000,
            "sample_every": 5000,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.995}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 10_000, "batch_size": 10_000})
    return config
