"""Emoji of 64x64 of a coarse map of colours, by diffusion in latents of 16x16x4 that lie beside the map.

Rombach et al. 2022 (arXiv:2112.10752), section 4.3.2: a semantic map, made as small as the latents, as
further channels. The map is `configs/emoji/map.py`'s: in training it is made of the picture itself. The rest
is `configs/emoji/latent_class.py`.

    python -m diffjax.train --config=configs/emoji/kl_f4.py --workdir=runs/emoji_kl_f4
    python -m diffjax.train --config=configs/emoji/latent_map.py --workdir=runs/emoji_latent_map
    python -m diffjax.sample --workdir=runs/emoji_latent_map --map=map.png --num=16

Inpainting, with the mask and the latents of the masked picture as further channels (section 4.5):
`--config.latents="{'system': 'ddpm', 'inpaint': True}"` and five more `model.map_channels`.

The first 1,500 steps took 11 minutes of processor time (Intel Xeon, beside other work). Obtained for 100
held-out maps, 20 DDIM steps, guidance weight 0.5: 3.7 % of the places have another colour than was asked,
30 % than another picture's map asks, 52 % of what is made of no map. Outlines are the map's and expressions
can be told; cheeks that are pink in the map were once made blue, and lines within are soft.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, latent_class


def get_config(path: str = common.FILE) -> ConfigDict:
    config = latent_class.latent(path)
    config.conditions = ConfigDict({"map": {"encoder": "colour_map", "shades": 2, "size": 16, "drop": 0.1}})
    config.model.map_channels = 8
    config.sampler.guidance_weight = 0.5
    return config
