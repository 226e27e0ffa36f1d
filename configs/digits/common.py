"""What the configs of scikit-learn's digits share: 8x8, ten classes, 1,437 images to train on."""

from typing import Any

from ml_collections import ConfigDict

from diffjax.configs import common


def config(system: str) -> ConfigDict:
    """Return the config of a system, but for its schedule, model, objective and sampler."""
    config = ConfigDict()
    config.system = system
    config.data = ConfigDict({"name": "digits", "shape": (8, 8, 1), "num_classes": 10})
    config.optimizer = common.adam()
    config.training = common.training(1100, batch_size=128, log_every=50, checkpoint_every=500, keep=2)
    config.evaluation = ConfigDict({"num_samples": 1437, "batch_size": 256})
    return config


def unet(**more: Any) -> ConfigDict:
    """Return a small class-conditional U-Net, with what a system adds or replaces."""
    return ConfigDict(
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
            **more,
        }
    )


def mlp(**more: Any) -> ConfigDict:
    """Return an MLP that is told its class, which two cores can train many times, with what a system adds."""
    return ConfigDict(
        {"name": "mlp", "width": 256, "depth": 3, "time_scale": 20.0, "num_classes": 11, **more}
    )


def tower(**more: Any) -> ConfigDict:
    """Return the way down of a small U-Net, 32 features of a digit, with what a system replaces."""
    return ConfigDict(
        {
            "name": "half_unet",
            "out_features": 32,
            "pool": "attention",
            "model_channels": 24,
            "channel_mult": (1, 2),
            "num_res_blocks": 1,
            "attention_resolutions": (2,),
            "num_heads": 2,
            "num_groups": 8,
            "dropout": 0.1,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            **more,
        }
    )
