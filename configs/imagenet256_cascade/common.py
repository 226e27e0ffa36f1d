"""What the stages of ImageNet's cascade share: pictures of 1000 classes in a folder, and what they learn.

Ho et al. 2022 (arXiv:2106.15282): 32x32, 64x64, 256x256, all told the class; cosine betas and learned
variances by the hybrid loss (Nichol & Dhariwal 2021). The widths of the paper's own networks were not at
hand: these are those of Dhariwal & Nichol 2021 (appendix I) at sizes like these, with their batches and
rates.

Each stage reads the same folder, `train/<class>/*.jpg` and `test/<class>/*.jpg`, and makes it as small as it
needs: cropped in the middle, and mirrored by chance.
"""

from typing import Any

from ml_collections import ConfigDict

FOLDER = "imagenet256"  # in the working directory


def config(path: str, size: int, model: dict[str, Any]) -> ConfigDict:
    """Return the config of one stage, but for what a step up is asked beside the class.

    Args:
      path: of the folder.
      size: side of its pictures.
      model: what is its network's own.
    """
    config = ConfigDict()
    config.system = "ddpm"
    config.data = data(path, size)
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
        {
            "name": "unet",
            "out_channels": 6,  # the last three are v of the learned variance
            "num_classes": 1000,
            "model_channels": 192,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "remat": True,
            **model,
        }
    )
    config.objective = ConfigDict(
        {"kind": "eps", "loss": "hybrid", "variance": "learned_range", "bound_weight": 0.001}
    )
    config.sampler = ConfigDict(
        {"solver": "ancestral", "variance": "learned_range", "steps": 250, "grid": "uniform"}
    )
    config.sampler.threshold = "static"
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 3e-4})
    config.training = ConfigDict(
        {
            "num_steps": 540_000,
            "batch_size": 2048,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 5000,
            "sample_every": 20_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 250, "reference": 50_000})
    return config


def data(path: str, size: int) -> ConfigDict:
    """Return the section `data` at one size."""
    options = {"name": "folder", "path": path, "labels": True, "num_classes": 1000, "flip": True}
    return ConfigDict({**options, "size": size, "shape": (size, size, 3)})


SMALL = {  # the network of 32x32 and of 64x64
    "channel_mult": (1, 2, 3, 4),
    "num_res_blocks": 3,
    "num_head_channels": 64,
    "dropout": 0.1,
}
