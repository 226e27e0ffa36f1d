"""What the configs of unCLIP share: pictures with what a CLIP sees and reads in them, made beforehand.

They read one `.npz` a split and size, `captions_64_train.npz` and so on, with `image` uint8 [N, S, S, 3],
`caption` strings [N], `clip_image` and `clip_text` float32 [N, 768] of unit norm, as ViT-L/14 has them, and
`clip_tokens` float16 [N, 77, 768], its text model's last hidden states, zeros where a caption has ended; the
prior reads `clip_image` as [N, 1, 1, 768]. `systems.seen.Encoder({"pretrained": folder}, None, "clip")` of a
published CLIP makes the first two, its `image` and `text`, and `systems.text_models.Frozen(folder)` the
tokens, `embedded(captions, 77)`. The paper's CLIP is ViT-H/16, of 1024, and its pairs, some 650 million, are
not public.

Ramesh et al. 2022 (arXiv:2204.06125), appendix C, has the numbers of these files.
"""

from typing import Any

from ml_collections import ConfigDict

FILE = "captions_{size}_{split}.npz"  # in the working directory
WIDTH, TOKENS = 768, 77  # of ViT-L/14


def config(size: int, path: str, *arrays: str) -> ConfigDict:
    """Return what a stage of pictures of some size shares with the others, but for its network."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {
            "name": "npz",
            "path": path.replace("{size}", str(size)),
            "images": "image",
            "labels": None,
            "arrays": arrays,
            "shape": (size, size, 3),
        }
    )
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.objective = ConfigDict({"kind": "eps"})
    return config


def embedding(array: str, *shape: int, **more: Any) -> dict[str, Any]:
    """Return a part of the conditions that the data hold."""
    return {"encoder": "embedding", "array": array, "shape": shape, **more}


def training(num_steps: int, batch_size: int, learning_rate: float) -> dict[str, ConfigDict]:
    """Return the sections `optimizer` and `training`."""
    return {
        "optimizer": ConfigDict({"name": "adam", "learning_rate": learning_rate, "clip_norm": 1.0}),
        "training": ConfigDict(
            {
                "num_steps": num_steps,
                "batch_size": batch_size,
                "seed": 0,
                "log_every": 100,
                "checkpoint_every": 10_000,
                "sample_every": 0,
                "keep": 2,
                "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
            }
        ),
    }
