"""What the configs of ImageNet at 64x64 share: colour images of 1000 classes from TFDS."""

from ml_collections import ConfigDict


def config(num_steps: int, batch_size: int) -> ConfigDict:
    """Return a class-conditional DDPM's config, but for schedule, model, objective, sampler and optimizer."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {"name": "imagenet_resized/64x64", "shape": (64, 64, 3), "num_classes": 1000, "flip": True}
    )
    config.training = ConfigDict(
        {
            "num_steps": num_steps,
            "batch_size": batch_size,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 5000,
            "sample_every": 20_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 250, "reference": 1_281_167})
    return config
