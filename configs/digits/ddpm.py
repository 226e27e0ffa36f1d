"""Class-conditional DDPM on scikit-learn's handwritten digits (8x8, ten classes)."""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict({"name": "digits", "shape": (8, 8, 1), "num_classes": 10})
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
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
        }
    )
    config.objective = ConfigDict({"kind": "v", "weighting": "none", "label_dropout": 0.1})
    config.sampler = ConfigDict(
        {"solver": "ddim", "steps": 50, "grid": "uniform", "threshold": "static", "guidance_weight": 0.0}
    )
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 1100,
            "batch_size": 128,
            "seed": 0,
            "log_every": 50,
            "checkpoint_every": 500,
            "sample_every": 500,
            "keep": 1,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.995}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 1437, "batch_size": 256, "guidance_weights": (0.0, 0.5)})
    return config
