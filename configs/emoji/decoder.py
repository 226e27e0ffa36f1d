"""unCLIP's decoder on emoji: pictures of 32x32 of what the small CLIP sees in one, and of its caption.

Ramesh et al. 2022 (arXiv:2204.06125), section 2.1: the embedding joins the time's and stands beside the
caption's tokens as four more; it is hidden one time in ten, the caption every second time.

    python -m diffjax.train --config=configs/emoji/clip.py --workdir=runs/emoji_clip
    python -m diffjax.train --config=configs/emoji/text.py --workdir=runs/emoji_text
    python -m diffjax.train --config=configs/emoji/decoder.py --workdir=runs/emoji_decoder \\
        --init_from=runs/emoji_text
    python -m diffjax.sample --workdir=runs/emoji_decoder --image=picture.png --num=16

The last are variations of a picture, of any size. It begins with the network of `configs/emoji/text.py` and
learns in 400 steps what an embedding says: 9 minutes of processor time (Intel Xeon), after the 74 of that.
Obtained: of pictures of a prior's embeddings of held-out captions, without the caption, 74 +- 6 % are told
their caption, R@10 among 60, by the CLIP whose embeddings they are; of real pictures 67 %, by chance 17 %:
`experiments/unclip_prior`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path)
    config.data.only = ("vendor", 3)
    config.conditions = ConfigDict(
        {
            "image": {"encoder": "clip_image", "clip": {"workdir": "runs/emoji_clip"}, "drop": 0.1},
            "text": {"encoder": "text_model", "model": "minilm", "length": 16, "to": "tokens", "drop": 0.5},
        }
    )
    config.model.token_features = 128  # as of `configs/emoji/text.py`
    config.optimizer.learning_rate = 1e-3
    config.training.num_steps = 400
    config.sampler = common.sampler(guidance_weight=1.0)
    return config
