"""ImageNet at 256x256 of a class, by three stages: 32x32, 64x64, 256x256.

Ho et al. 2022 (arXiv:2106.15282), figure 4: the base stops where its x has the noise that the second stage is
told of; the third takes what the second made as it is. The paper sweeps that level for each cascade, which
`--config.augmentation.up64.level=...` does.

    python -m diffjax.sample --config=configs/imagenet256_cascade/cascade.py --out=runs/imagenet_cascade \\
        --label=213

The paper: FID 1.48 at 64x64 and 4.88 at 256x256. Its stages are trained first: `base32.py`, `up64.py`,
`up256.py`. Not run at full size here.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256_cascade import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    config = ConfigDict()
    config.system = "cascade"
    config.data = common.data(path, 256)
    config.stages = ConfigDict(
        {
            "base": {"workdir": "runs/imagenet_32"},
            "up64": {"workdir": "runs/imagenet_32_64"},
            "up256": {"workdir": "runs/imagenet_64_256"},
        }
    )
    config.order = ("base", "up64", "up256")
    config.augmentation = ConfigDict({"up64": {"level": 0.2, "truncated": True}})
    config.batch_sizes = ConfigDict({"up64": 64, "up256": 16})
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 250, "reference": 50_000})
    return config
