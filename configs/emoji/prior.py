"""unCLIP's prior on emoji: of a caption, what the small CLIP would see in a picture of it.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.2: a causal transformer over the caption's tokens (of
all-MiniLM-L6-v2), its embedding by the CLIP, the time, the noised embedding and a query; it predicts the
embedding itself, 64 numbers of norm 1 times 8. Of two samples the one nearer to the caption is taken.

    python -m diffjax.train --config=configs/emoji/clip.py --workdir=runs/emoji_clip
    python -m diffjax.train --config=configs/emoji/prior.py --workdir=runs/emoji_prior
    python -m diffjax.evaluate --workdir=runs/emoji_prior

`evaluate` says how often an embedding that was made of a held-out caption finds it among others.

0.7 minutes of processor time (Intel Xeon). Obtained with three seeds: R@10 of the embeddings for the real
picture of their caption, among 60 held-out ones, 67 +- 4 %, and a spread of 0.99 of real embeddings':
`experiments/unclip_prior`. With `--config.training.num_steps=4000` (2.8 minutes) `evaluate` has R@1 84 +- 1 %
for the caption, among 357 (chance 0.3 %).
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path)
    config.system = "prior"
    clip = {"workdir": "runs/emoji_clip"}
    config.clip = ConfigDict(clip)
    config.conditions = ConfigDict(
        {
            "text": {"encoder": "text_model", "model": "minilm", "length": 16, "to": "tokens"},
            "said": {"encoder": "clip_text", "clip": clip},
        }
    )
    config.model = ConfigDict(
        {"name": "prior", "width": 64, "depth": 2, "num_heads": 4, "token_features": 64, "length": 16}
    )
    config.objective = ConfigDict({"kind": "x0", "condition_dropout": 0.1})
    config.sampler = ConfigDict(
        {"solver": "ddim", "steps": 32, "grid": "uniform", "guidance_weight": 0.0, "tries": 2}
    )
    config.optimizer.learning_rate = 1e-3
    config.training.update({"num_steps": 600, "batch_size": 64, "sample_every": 0})
    config.evaluation = ConfigDict({"num_samples": 200, "batch_size": 100, "evaluators": ("retrieval",)})
    return config
