"""DDPM on points in the plane, learned by an MLP: by default a ring of eight Gaussians of unequal weights.

    python -m diffjax.train --config=configs/toys/ddpm.py --workdir=runs/ring8
    python -m diffjax.sample --workdir=runs/ring8 --num=2000

Any other set of points by its name: `--config=configs/toys/ddpm.py:checkerboard`.

About a minute on two cores. `python -m diffjax.evaluate --workdir=runs/ring8` prints the sliced Wasserstein
distance of the samples to fresh points beside that between two sets of fresh points.
"""

from ml_collections import ConfigDict


def get_config(name="ring8"):
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict({"name": name, "shape": (2,), "num_examples": 20_000})
    config.schedule = ConfigDict({"name": "linear_beta", "num_steps": 1000})
    config.model = ConfigDict({"name": "mlp", "width": 128, "depth": 3, "frequencies": 4})
    config.objective = ConfigDict({"kind": "eps", "weighting": "none"})
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
            "sample_every": 1000,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.995}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 10_000, "batch_size": 10_000})
    return config
