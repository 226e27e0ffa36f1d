"""Imagen: 1024x1024 from a caption, in three stages.

Saharia et al. 2022 (arXiv:2205.11487), section 2: weights, thresholds and the noise that is handed on are
chosen when sampling.

    python -m diffjax.sample --config=configs/imagen/text_to_image.py --out=runs/imagen --ask=text=t5.npy

The stages read what T5-XXL says of a caption, `.npy` files of [256, 4096]. The paper: FID 7.27 on COCO.
Not run at full size here.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagen import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = ConfigDict()
    config.system = "imagen"
    config.data = common.config(1024, {}, path).data
    dynamic = {"threshold": {"name": "dynamic", "quantile": 0.995}}
    config.stages = ConfigDict(
        {
            "base": {"workdir": "runs/imagen_64", "sampler": {"guidance_weight": 6.0, **dynamic}},
            "up256": {"workdir": "runs/imagen_256", "sampler": {"guidance_weight": 4.0, **dynamic}},
            "up1024": {"workdir": "runs/imagen_1024", "sampler": {"guidance_weight": 1.0, **dynamic}},
        }
    )
    config.order = ("base", "up256", "up1024")
    config.augmentation = ConfigDict(
        {"up256": {"level": 0.2, "truncated": False}, "up1024": {"level": 0.2, "truncated": False}}
    )
    config.batch_sizes = ConfigDict({"up256": 16, "up1024": 4})
    config.evaluation = ConfigDict({"num_samples": 30_000, "batch_size": 256})
    return config
