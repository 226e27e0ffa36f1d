"""unCLIP's other prior on emoji: the embedding's principal components, written one after another.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.2, the autoregressive prior: components of the embeddings by
falling variance, each in steps of one size, and a causal transformer that reads the caption first. The paper
keeps 319 of 1024 components in 1024 steps each; here 32 of 64 in 32.

    python -m diffjax.train --config=configs/emoji/prior_codes.py --workdir=runs/emoji_codes

0.6 minutes of processor time (Intel Xeon), as `configs/emoji/prior.py`. Obtained with three seeds: R@10 of
the embeddings for the real picture of their caption, among 60 held-out ones, 28 +- 4 %, with a loss of 2.8
nats a component: far behind the other prior after as long by the clock, `experiments/unclip_prior`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, prior


def get_config(path: str = common.FILE) -> ConfigDict:
    config = prior.get_config(path)
    del config["schedule"]
    config.objective = ConfigDict({"components": 32, "bins": 32, "condition_dropout": 0.1})
    config.sampler = ConfigDict({"guidance_weight": 0.0})
    config.training.num_steps = 300  # as long as the other prior by the clock
    return config
