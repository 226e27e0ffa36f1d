"""unCLIP's diffusion prior: 24 blocks of 2048 features that predict a picture's embedding.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.2 and appendix C: 600 thousand updates of batches of 4096 at
1.1e-4, captions hidden one time in ten, 64 steps, the better of two samples.

    python -m diffjax.train --config=configs/unclip/prior.py --workdir=runs/unclip_prior

The paper: 1 billion parameters; of MS-COCO, FID 10.39 with this prior and 10.63 with the autoregressive one.
Obtained: not run at full size here; it builds and traces, with 1,231,861,504 parameters.
"""

from ml_collections import ConfigDict

from diffjax.configs.unclip import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(64, path, "clip_text", "clip_tokens")
    config.system = "prior"
    config.data.update({"images": "clip_image", "shape": (1, 1, common.WIDTH)})
    config.conditions = ConfigDict(
        {
            "text": common.embedding("clip_tokens", common.TOKENS, common.WIDTH, to="tokens"),
            "said": common.embedding("clip_text", common.WIDTH, to="vector"),
        }
    )
    config.model = ConfigDict({"name": "prior", "width": 2048, "depth": 24, "num_heads": 32})
    config.model.update({"token_features": 2048, "length": common.TOKENS})
    config.objective = ConfigDict({"kind": "x0", "condition_dropout": 0.1})
    config.sampler = ConfigDict(
        {"solver": "ddim", "steps": 64, "grid": "uniform", "guidance_weight": 0.0, "tries": 2}
    )
    config.update(common.training(600_000, 4096, 1.1e-4))
    return config
