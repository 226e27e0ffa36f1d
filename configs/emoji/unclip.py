"""Emoji of a caption by unCLIP: prior, decoder, and one step up, to 64x64.

Ramesh et al. 2022 (arXiv:2204.06125), figure 2; the step up is that of `configs/emoji/imagen_up64.py`, which
is told the caption where there is one, as the paper's are not: `cascade_up64.py` is one without.

    python -m diffjax.sample --config=configs/emoji/unclip.py --out=runs/emoji_unclip --text="a green apple"
    python -m diffjax.sample --config=configs/emoji/unclip.py --out=runs/emoji_like --image=picture.png

`--config.embedding=text` gives the decoder the caption's own embedding in the place of the prior's, and
`none` gives it nothing: what the prior is for. Stages are trained first: `configs/emoji/prior.py`,
`decoder.py` and `imagen_up64.py`. Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = ConfigDict()
    config.system = "unclip"
    config.data = common.config(path, size=64).data
    config.data.only = ("vendor", 3)
    config.stages = ConfigDict(
        {
            "prior": {"workdir": "runs/emoji_prior", "sampler": {"steps": 32, "guidance_weight": 0.0}},
            "decoder": {"workdir": "runs/emoji_decoder", "sampler": {"steps": 25, "guidance_weight": 1.0}},
            "up": {"workdir": "runs/emoji_imagen_64", "sampler": {"steps": 16, "guidance_weight": 0.0}},
        }
    )
    config.order = ("prior", "decoder", "up")
    config.augmentation = ConfigDict({"up": {"level": 0.1, "truncated": False}})
    config.batch_sizes = ConfigDict({"decoder": 64, "up": 16})
    config.embedding = "prior"
    config.evaluation = ConfigDict({"num_samples": 500, "batch_size": 100})
    config.evaluation.judge = ConfigDict({"workdir": "runs/emoji_clip"})
    config.evaluation.arms = (
        {"title": "the text's embedding", "embedding": "text"},
        {"title": "no embedding", "embedding": "none"},
    )
    return config
