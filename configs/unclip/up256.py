"""unCLIP's first step up: 256x256 from 64x64, told nothing else.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.1 and appendix C: 320 channels times 1, 2, 3, 4, three
blocks a level, no attention; small pictures blurred over 3x3 by 0.6 in training; a million updates of batches
of 1024 at 1.2e-4, 27 steps.

    python -m diffjax.train --config=configs/unclip/up256.py --workdir=runs/unclip_256

The paper: 700 million parameters. Obtained: not run at full size here; it builds and traces, with
736,263,366 parameters. The paper trains on crops of a quarter of the picture; here on whole pictures.
"""

from ml_collections import ConfigDict

from diffjax.configs.unclip import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(256, path)
    small = {"encoder": "low_resolution", "size": 64, "blur": (0.6, 0.6), "blur_share": 1.0}
    config.conditions = ConfigDict({"image": small})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 320,
            "channel_mult": (1, 2, 3, 4),
            "num_res_blocks": 3,
            "attention_resolutions": (),
            "num_head_channels": 64,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "dropout": 0.1,
            "map_channels": 3,
            "remat": True,
        }
    )
    config.sampler = ConfigDict({"solver": "ddim", "steps": 27, "grid": "uniform", "threshold": "static"})
    config.update(common.training(1_000_000, 1024, 1.2e-4))
    return config
