"""What the configs of MNIST share: 28x28, ten classes, 60,000 images to train on, in one file."""

from typing import Any

from ml_collections import ConfigDict

from diffjax.configs import common

FILE = "mnist.npz"  # in the working directory; an `.npz` as Keras has it


def config(system: str, path: str) -> ConfigDict:
    """Return the config of a system on a file, but for its schedule, model, objective and sampler.

    Its 1,000 steps of 32 images, 0.53 epochs, are a first look.
    """
    config = ConfigDict()
    config.system = system
    config.data = ConfigDict({"name": "npz", "path": path, "shape": (28, 28, 1), "num_classes": 10})
    config.optimizer = common.adam()
    config.training = common.training(1000, batch_size=32, log_every=50, checkpoint_every=500, keep=2)
    config.evaluation = ConfigDict({"num_samples": 500, "batch_size": 250})
    return config


def unet(**more: Any) -> ConfigDict:
    """Return a small class-conditional U-Net, with what a system adds or replaces."""
    return ConfigDict(
        {
            "name": "unet",
            "model_channels": 16,
            "channel_mult": (1, 2, 4),
            "num_res_blocks": 1,
            "attention_resolutions": (4,),
            "num_heads": 2,
            "num_classes": 11,  # ten digits and the null label
            "num_groups": 8,
            "use_scale_shift_norm": True,
            **more,
        }
    )
