"""LDM-4: class-conditional diffusion on ImageNet at 256x256 in latents of 64x64x3, by cross-attention.

Rombach et al. 2022 (arXiv:2112.10752), table 3, rows "LDM-4" and "LDM-4-G": FID 10.56 and, guided by the
scale 1.5, 3.60, of 250 DDIM steps and 50,000 samples; 400 million parameters.

    python -m diffjax.train --config=configs/imagenet256/ldm_4.py --workdir=runs/ldm_4
    python -m diffjax.sample --workdir=runs/ldm_4 --num=50000

Obtained: not run at full size here; it builds and traces, with 401,433,091 parameters: 400,920,579 of the
U-Net, as the authors' code says of it (400.92 million), and the classes' vectors. The authors' settings: the
published VQ autoencoder of factor 4 before rounding, 1000 scaled-linear betas from 0.0015 to 0.0195, 192
channels times 1, 2, 3, 5, one head of each block's width, a class's vector of 512 as the only token, Adam at
1e-6 a picture, batches of 1200, a moving average of 0.9999; classes dropped for one in ten. Their latents are
not divided by anything.

The first stage is their published file; one's own is `--config.first_stage="{'workdir': ...}"`.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256 import common


def get_config(path: str = common.FOLDER) -> ConfigDict:
    config = common.config(path, num_steps=178_000)
    config.system = "latent"
    config.data = common.pictures(path)
    config.first_stage = common.published("vq_f4")
    config.latents = ConfigDict({"system": "ddpm", "scale": 1.0})
    betas = {"beta_start": 0.0015, "beta_end": 0.0195}
    config.schedule = ConfigDict({"name": "scaled_linear", "num_steps": 1000, **betas})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 192,
            "channel_mult": (1, 2, 3, 5),
            "num_res_blocks": 2,
            "attention_resolutions": (2, 4, 8),
            "num_heads": 1,
            "token_features": 512,
        }
    )
    label = {"encoder": "classes", "array": "label", "num_classes": 1000, "to": "tokens", "drop": 0.1}
    config.conditions = ConfigDict({"class": label})
    config.objective = ConfigDict({"kind": "eps"})
    config.sampler = ConfigDict({"solver": "ddim", "steps": 250, "grid": "uniform", "guidance_weight": 0.5})
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1.2e-3, "weight_decay": 0.01})
    config.training.batch_size = 1200
    return config
