"""What the configs of CIFAR-10 share: colour images from TFDS, networks and lengths of the papers."""

from typing import Any

from ml_collections import ConfigDict


def config(num_steps: int, sample_every: int) -> ConfigDict:
    """Return an unconditional DDPM's config, but for schedule, model, objective, sampler and optimizer."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict({"name": "cifar10", "shape": (32, 32, 3), "num_classes": 10})
    config.training = ConfigDict(
        {
            "num_steps": num_steps,
            "batch_size": 128,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 5000,
            "sample_every": sample_every,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 500, "reference": 50_000})
    return config


def unet(**more: Any) -> ConfigDict:
    """Return the papers' U-Net of 128 channels on four resolutions, with what a system adds."""
    return ConfigDict({"name": "unet", "model_channels": 128, "channel_mult": (1, 2, 2, 2), **more})


def ancestral(steps: int, variance: str) -> ConfigDict:
    """Return the papers' sampler: every step of the chain, with x_0 kept in [-1, 1]."""
    return ConfigDict(
        {
            "solver": "ancestral",
            "variance": variance,
            "steps": steps,
            "grid": "uniform",
            "threshold": "static",
        }
    )
