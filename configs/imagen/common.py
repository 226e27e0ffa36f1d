"""What the configs of Imagen share: pictures with what T5-XXL said of their captions, made beforehand.

They read one `.npz` a split and size, `captions_64_train.npz` and so on, with `image` uint8 [N, S, S, 3],
`caption` strings [N] and `t5` float16 [N, 256, 4096], the last hidden states of T5-XXL's encoder (version
1.1), zeros where a caption has ended. The paper's 860 million pairs are not public; LAION's and others are.

Saharia et al. 2022 (arXiv:2205.11487), appendix F: batches of 2048, 2.5 million updates, Adafactor at 1e-4
for the base and Adam for super-resolution, 10,000 steps of warm-up, averages of 0.9999, captions hidden one
time in ten. Here all are trained by Adam.
"""

from typing import Any

from ml_collections import ConfigDict

TOKENS, WIDTH = 256, 4096  # of T5-XXL


def config(size: int, model: dict[str, Any], path: str) -> ConfigDict:
    """Return the config of one stage.

    Args:
      size: side of its pictures.
      model: its network.
      path: of the data, `{split}` for "train" and "test".
    """
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {
            "name": "npz",
            "path": path.replace("{size}", str(size)),
            "images": "image",
            "labels": None,
            "arrays": ("caption", "t5"),
            "shape": (size, size, 3),
        }
    )
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
        {
            "num_groups": 32,
            "num_head_channels": 64,
            "use_scale_shift_norm": True,
            "token_features": 512,
            "remat": True,
            **model,
        }
    )
    text = {"encoder": "embedding", "array": "t5", "shape": (TOKENS, WIDTH), "caption": "caption"}
    config.conditions = ConfigDict({"text": {**text, "to": "both", "drop": 0.1}})
    config.objective = ConfigDict({"kind": "v", "weighting": "none"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 250, "grid": "uniform", "guidance_weight": 6.0})
    config.sampler.threshold = ConfigDict({"name": "dynamic", "quantile": 0.995})
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 1e-4, "warmup_steps": 10_000, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 2_500_000,
            "batch_size": 2048,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 10_000,
            "sample_every": 50_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 30_000, "batch_size": 256})
    return config


FILE = "captions_{size}_{split}.npz"  # in the working directory
