"""ImageNet's cascade from 64x64 to 256x256: half of the small pictures are blurred in training.

Ho et al. 2022 (arXiv:2106.15282), section 4.4: a Gaussian blur of 0.4 to 0.6 pixels in half of the small
pictures, and none when sampling. The network is Dhariwal & Nichol's upsampler (2021, appendix I): 192
channels times 1, 1, 2, 2, 4, 4, two blocks a level, four heads of attention at 32x32, 16x16 and 8x8; batches
of 256 at 1e-4, 500,000 updates.

    python -m diffjax.train --config=configs/imagenet256_cascade/up256.py --workdir=runs/imagenet_64_256

The paper, of the whole cascade: FID 4.88 of 50,000 samples against the training set. Obtained:
not run at full size here; it builds and traces, with 311,795,913 parameters; the
authors count 312 million.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256_cascade import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    model = {"channel_mult": (1, 1, 2, 2, 4, 4), "num_res_blocks": 2, "num_heads": 4, "map_channels": 3}
    config = common.config(path, 256, {**model, "attention_resolutions": (8, 16, 32)})
    config.conditions = ConfigDict(
        {"image": {"encoder": "low_resolution", "size": 64, "blur": (0.4, 0.6), "blur_share": 0.5}}
    )
    config.optimizer.learning_rate = 1e-4
    config.training.update({"num_steps": 500_000, "batch_size": 256})
    return config
