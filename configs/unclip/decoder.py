"""unCLIP's decoder: 64x64 of an embedding, which joins the time's and is four more tokens, and of a caption.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.1 and appendix C, after GLIDE: 512 channels times 1, 2, 3, 4,
three blocks a level, 800 thousand updates of batches of 2048 at 1.2e-4, learned variances; the embedding is
hidden one time in ten, the caption every second time.

    python -m diffjax.train --config=configs/unclip/decoder.py --workdir=runs/unclip_64

The paper: 3.5 billion parameters, GLIDE's transformer over the caption among them, whose place the CLIP's own
tokens take here. Obtained: not run at full size here; it builds and traces, with 3,161,896,966
parameters. The embedding is one more token here, projected with the vector, as arrays of data are.
"""

from ml_collections import ConfigDict

from diffjax.configs.unclip import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(64, path, "clip_image", "clip_tokens")
    config.conditions = ConfigDict(
        {
            "image": common.embedding("clip_image", common.WIDTH, to="both", drop=0.1),
            "text": common.embedding("clip_tokens", common.TOKENS, common.WIDTH, to="tokens", drop=0.5),
        }
    )
    config.model = ConfigDict(
        {
            "name": "unet",
            "out_channels": 6,
            "model_channels": 512,
            "channel_mult": (1, 2, 3, 4),
            "num_res_blocks": 3,
            "attention_resolutions": (2, 4, 8),
            "num_head_channels": 64,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "token_features": 2048,
            "remat": True,
        }
    )
    config.objective.update({"loss": "hybrid", "variance": "learned_range"})
    config.sampler = ConfigDict(
        {"solver": "ancestral", "variance": "learned_range", "steps": 250, "grid": "uniform"}
    )
    config.sampler.guidance_weight = 2.0
    config.update(common.training(800_000, 2048, 1.2e-4))
    return config
