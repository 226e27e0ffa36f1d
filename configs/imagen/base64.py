"""Imagen's first stage: pictures of 64x64 of a caption, by a U-Net that attends to T5-XXL's tokens.

Saharia et al. 2022 (arXiv:2205.11487), table 1, row "Imagen", and appendix F.

    python -m diffjax.train --config=configs/imagen/base64.py --workdir=runs/imagen_64

The paper: FID of 30,000 captions of COCO at 256x256 7.27, zero-shot, of all three stages; the network 2
billion parameters. Obtained: not run at full size here; it builds and traces, with 2,929,305,603 parameters:
512 channels times 1, 2, 3, 4, three blocks a level, attention at 32, 16 and 8 pixels.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagen import common


def get_config(path: str = common.FILE) -> ConfigDict:
    model = {"name": "unet", "model_channels": 512, "channel_mult": (1, 2, 3, 4), "num_res_blocks": 3}
    return common.config(64, {**model, "attention_resolutions": (2, 4, 8)}, path)
