"""What the configs of emoji share: 32x32 in colour, pictures of several vendors with captions.

They read one `.npz` with `image` uint8 [N, 64, 64, 3] (any size does), `caption` strings [N], `is_test` bool
[N] (concepts of which no picture is trained on), `test_dup_of_train` bool [N] (pictures among those that are
the same as one that is), and `vendor` integers [N]. It is made of the vendors' own files, e.g. those of Noto,
Twemoji, OpenMoji, Fluent's flat ones and Fluent's, numbered 0 to 4, and of the names in the Unicode CLDR:

    np.savez_compressed("emoji64.npz", image=pixels, caption=names, is_test=..., ...)
"""

from typing import Any

from ml_collections import ConfigDict

from diffjax.configs import common

FILE = "emoji64.npz"  # in the working directory


def config(path: str, size: int = 32) -> ConfigDict:
    """Return the config of a DDPM on a file, but for its network's condition."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {
            "name": "npz",
            "path": path,
            "images": "image",
            "labels": None,
            "arrays": ("caption",),
            "is_test": "is_test",
            "left_out": "test_dup_of_train",
            "size": size,
            "shape": (size, size, 3),
        }
    )
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 64,
            "channel_mult": (0.25, 0.75, 1.5),  # most of the time is spent at 32x32
            "num_res_blocks": 1,
            "attention_resolutions": (4,),
            "num_heads": 4,
            "num_groups": 8,
            "use_scale_shift_norm": True,
            "conv_resample": False,
        }
    )
    config.objective = ConfigDict({"kind": "v", "weighting": "none"})
    config.sampler = sampler()
    config.optimizer = common.adam()
    config.training = common.training(5000, batch_size=32, log_every=50, checkpoint_every=250, keep=2)
    config.training.ema.decay = 0.998
    config.evaluation = ConfigDict({"num_samples": 500, "batch_size": 100})
    return config


def of_pictures(path: str) -> ConfigDict:
    """Return the config of a DDPM that is told a picture: a lighter one of one vendor, trained in minutes.

    What a picture leaves open is less than what a caption does.
    """
    own = config(path)
    own.data.only = ("vendor", 3)
    own.model.update({"channel_mult": (0.25, 0.5, 1.0), "attention_resolutions": ()})
    own.training.update({"num_steps": 1000, "batch_size": 16, "sample_every": 1000})
    own.training.ema.decay = 0.995
    return own


def sampler(**more: Any) -> ConfigDict:
    """Return 50 steps of DDIM, with what a condition adds."""
    return ConfigDict({"solver": "ddim", "steps": 50, "grid": "uniform", "threshold": "static", **more})


def tower() -> ConfigDict:
    """Return the way down of a small U-Net, from 32x32 to 4x4, which makes 64 features of a picture."""
    return ConfigDict(
        {
            "name": "half_unet",
            "out_features": 64,
            "pool": "attention",
            "model_channels": 16,
            "channel_mult": (1, 2, 4, 8),
            "num_res_blocks": 1,
            "attention_resolutions": (),
            "num_heads": 4,
            "num_groups": 8,
            "dropout": 0.1,
            "use_scale_shift_norm": True,
            "conv_resample": False,
        }
    )


def efficient(**more: Any) -> ConfigDict:
    """Return the efficient U-Net of the steps up to 64x64: no block works at the picture's own size."""
    return ConfigDict(
        {
            "name": "efficient_unet",
            "model_channels": 32,
            "channel_mult": (0.5, 1.0, 2.0),
            "num_res_blocks": (1, 1, 2),
            "halve_first": True,
            "attention_resolutions": (4,),
            "num_heads": 4,
            "num_groups": 8,
            "use_scale_shift_norm": True,
            "map_channels": 3,
            **more,
        }
    )
