"""What the configs of ImageNet at 256x256 share: latents of 32x32x4 that were made beforehand, in one file.

They are samples of the posterior of a Stable Diffusion autoencoder that reduces 256x256 pixels to 32x32
(the paper's), times 0.18215, NHWC: in float32 1.28 million of them are 21 GB, which are held in memory. The
paper crops in the middle and mirrors at random, before encoding: to do so, write both ways round.
"""

from typing import Any

from ml_collections import ConfigDict

FILE = "imagenet256_latents.npz"  # in the working directory: train_latent [N, 32, 32, 4], train_label [N]


def config(path: str, num_steps: int) -> ConfigDict:
    """Return a class-conditional DDPM's config, but for schedule, model, objective, sampler and optimizer."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {"name": "npz", "path": path, "images": "{split}_latent", "shape": (32, 32, 4), "num_classes": 1000}
    )
    config.training = ConfigDict(
        {
            "num_steps": num_steps,
            "batch_size": 256,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 50_000,
            "sample_every": 50_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 250})
    return config


def dit(hidden_size: int, depth: int, num_heads: int, patch_size: int, **more: Any) -> ConfigDict:
    """Return a DiT of one of the paper's sizes (table 1), with learned variances and a null label."""
    return ConfigDict(
        {
            "name": "dit",
            "out_channels": 8,  # the last four are v of the learned variance
            "hidden_size": hidden_size,
            "depth": depth,
            "num_heads": num_heads,
            "patch_size": patch_size,
            "num_classes": 1001,
            **more,
        }
    )
