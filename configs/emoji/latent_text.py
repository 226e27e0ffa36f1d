"""Emoji of 64x64 of a caption, by diffusion in latents of 16x16x4 that attend to a text model's tokens.

Rombach et al. 2022 (arXiv:2112.10752), sections 3.3 and 4.3.1: cross-attention to the caption's tokens. They
train a transformer on BERT's tokens with the network; here MiniLM, a package, is asked once, see
`configs/emoji/text.py`. The rest is `configs/emoji/latent_class.py`.

    python -m diffjax.train --config=configs/emoji/kl_f4.py --workdir=runs/emoji_kl_f4
    python -m diffjax.train --config=configs/emoji/latent_text.py --workdir=runs/emoji_latent_text
    python -m diffjax.sample --workdir=runs/emoji_latent_text --text="a red apple" --num=16

16 minutes of processor time for 1,500 steps (Intel Xeon, beside other work), after the 8 of the autoencoder.
Obtained: 87 % of the pictures of held-out captions are told theirs, R@10 among 40, real pictures 70 %, by
chance 25 %: `experiments/text_to_emoji`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, latent_class


def get_config(path: str = common.FILE) -> ConfigDict:
    config = latent_class.latent(path)
    text = {"encoder": "text_model", "model": "minilm", "length": 16, "to": "both", "drop": 0.1}
    config.data.only = ("vendor", 3)
    config.conditions = ConfigDict({"text": text})
    config.model.token_features = 128
    config.evaluation.judge = ConfigDict({"workdir": "runs/emoji_clip"})
    config.sampler.guidance_weight = 2.0
    return config
