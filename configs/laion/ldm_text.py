"""Text-to-image latent diffusion on LAION-400M, 256x256: the U-Net attends to a transformer's tokens.

Rombach et al. 2022 (arXiv:2112.10752), section 4.3.1, LDM-KL-8 with guidance: FID 12.63 on MS-COCO of 250
DDIM steps at the scale 1.5, 1.45 billion parameters with the text's transformer.

    python -m diffjax.train --config=configs/laion/ldm_text.py --workdir=runs/ldm_text
    python -m diffjax.sample --workdir=runs/ldm_text --text="a painting of a squirrel eating a burger"

Obtained: not run at full size here; it builds and traces, with 1,542,788,804 parameters: 872,300,484 of the
U-Net, as the authors' code says of it (872.30 million), and 670,488,320 of the text's transformer, whose
heads are wider than theirs. The authors' settings: the KL autoencoder of factor 8 times 0.18215, 1000
scaled-linear betas from 0.00085 to 0.012, 320 channels times 1, 2, 4, 4, eight heads, 77 tokens of BERT's
30,522 through 32 layers of 1280, trained along, dropped for one in ten.

The tokenizer is made of the captions at hand; BERT's own is `conditions.text.tokenizer` in the place of
`vocab_size`.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256.common import published
from diffjax.configs.laion import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    config = ConfigDict()
    config.system = "latent"
    config.data = common.pictures(path)
    config.first_stage = published("kl_f8")
    config.latents = ConfigDict({"system": "ddpm", "scale": 0.18215, "posterior": "sample"})
    betas = {"beta_start": 0.00085, "beta_end": 0.012}
    config.schedule = ConfigDict({"name": "scaled_linear", "num_steps": 1000, **betas})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 320,
            "channel_mult": (1, 2, 4, 4),
            "num_res_blocks": 2,
            "attention_resolutions": (1, 2, 4),
            "num_heads": 8,
            "token_features": 1280,
        }
    )
    text = {"encoder": "tokens", "length": 77, "vocab_size": 30_522, "width": 1280, "depth": 32, "cut": True}
    config.conditions = ConfigDict({"text": {**text, "num_heads": 8, "to": "tokens", "drop": 0.1}})
    config.objective = ConfigDict({"kind": "eps"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 250, "grid": "uniform", "guidance_weight": 0.5})
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 8e-5, "weight_decay": 0.01})
    config.training = ConfigDict(
        {
            "num_steps": 390_000,
            "batch_size": 680,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 10_000,
            "sample_every": 10_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 30_000, "batch_size": 100})
    return config
