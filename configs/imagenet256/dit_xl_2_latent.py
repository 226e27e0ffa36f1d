"""DiT-XL/2 on pictures of ImageNet at 256x256, encoded as they are read: `dit_xl_2.py` whole.

Peebles & Xie 2023, table 2, rows "DiT-XL/2" (FID 9.62) and "DiT-XL/2-G" (2.27); there the latents are also
made while training, samples of the posterior times 0.18215, of pictures mirrored at random.

    python -m diffjax.train --config=configs/imagenet256/dit_xl_2_latent.py --workdir=runs/dit_xl_2_latent
    python -m diffjax.sample --workdir=runs/dit_xl_2_latent --num=50000

Obtained: not run at full size here; it builds and traces, with 674,834,720 parameters (with the paper's table
of positions, which is not trained, 675,129,632). The first stage is latent diffusion's KL autoencoder of
factor 8; the authors took Stable Diffusion's, the same network trained on (`stabilityai/sd-vae-ft-mse`, of
diffusers: architecture "diffusers_autoencoder_kl").
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256 import common, dit_xl_2


def get_config(path: str = common.FOLDER) -> ConfigDict:
    config = dit_xl_2.get_config(path)
    config.system = "latent"
    config.data = common.pictures(path)
    config.first_stage = common.published("kl_f8")
    config.latents = ConfigDict({"system": "ddpm", "scale": 0.18215, "posterior": "sample"})
    return config
