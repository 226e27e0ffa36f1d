"""unCLIP: 256x256 of a caption by prior, decoder and a step up.

Ramesh et al. 2022 (arXiv:2204.06125), figure 2. The stages read what a CLIP makes of a caption, `.npy` files
of its hidden states [77, 768] and its embedding [768].

    python -m diffjax.sample --config=configs/unclip/text_to_image.py --out=runs/unclip \\
        --ask=text=tokens.npy --ask=said=embedding.npy

The paper's second step, to 1024x1024, is 300 million parameters of 192 channels times 1, 1, 2, 2, 4, 4, on
pictures spoiled in more ways than are here, and is left out. Not run at full size here.
"""

from ml_collections import ConfigDict

from diffjax.configs.unclip import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = ConfigDict()
    config.system = "unclip"
    config.data = common.config(256, path).data
    config.stages = ConfigDict(
        {
            "prior": {"workdir": "runs/unclip_prior"},
            "decoder": {"workdir": "runs/unclip_64", "sampler": {"guidance_weight": 2.0}},
            "up256": {"workdir": "runs/unclip_256"},
        }
    )
    config.order = ("prior", "decoder", "up256")
    config.batch_sizes = ConfigDict({"decoder": 64, "up256": 16})
    config.embedding = "prior"
    config.evaluation = ConfigDict({"num_samples": 30_000, "batch_size": 256})
    return config
