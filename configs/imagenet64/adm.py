"""ADM on ImageNet at 64x64, class-conditional: the paper's model without a classifier.

Dhariwal & Nichol 2021, appendix I (settings), table 5, ImageNet 64x64 without guidance.

    python -m diffjax.train --config=configs/imagenet64/adm.py --workdir=runs/imagenet64_adm
    python -m diffjax.evaluate --workdir=runs/imagenet64_adm

The paper, 250 ancestral steps with learned variances, 50,000 samples against the training set:

    FID    parameters   steps
    2.07   296M         540,000 of 2048 images

Obtained: not run at full size here; it builds and traces, with 295,904,454 parameters, the published
checkpoint's, which `pretrained.load` reads. The authors' settings: 192 channels times 1, 2, 3, 4, three
residual blocks a level that resample and are scaled and shifted by the time, heads of 64 channels at 32x32,
16x16 and 8x8, dropout 0.1, L_hybrid with learned variances over 1000 cosine steps, Adam at 3e-4 without
warm-up, an average of decay 0.9999. They computed in half precision, this in float32; a batch of 2048 wants
many devices, or `training.accumulate`. The classifier that guides it at this size is a
`models.HalfUNet` of 65,438,568 parameters.

Data: TFDS's imagenet_resized/64x64; the authors cropped and resized ImageNet themselves. Their FID is over
InceptionV3.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet64 import common


def get_config() -> ConfigDict:
    config = common.config(num_steps=540_000, batch_size=2048)
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
        {
            "name": "unet",
            "out_channels": 6,  # the last three are v of the learned variance
            "num_classes": 1000,
            "model_channels": 192,
            "channel_mult": (1, 2, 3, 4),
            "num_res_blocks": 3,
            "attention_resolutions": (2, 4, 8),  # 32x32, 16x16 and 8x8
            "num_head_channels": 64,
            "dropout": 0.1,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "use_new_attention_order": True,
        }
    )
    config.objective = ConfigDict(
        {"kind": "eps", "loss": "hybrid", "variance": "learned_range", "bound_weight": 0.001}
    )
    config.sampler = ConfigDict(
        {
            "solver": "ancestral",
            "variance": "learned_range",
            "steps": 250,
            "grid": "uniform",
            "threshold": "static",
        }
    )
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 3e-4})
    return config
