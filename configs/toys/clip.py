"""Points in the plane and the names of their Gaussians in one space: CLIP where the truth is simple.

Radford et al. 2021 (arXiv:2103.00020), Fig. 3: two towers and a symmetric contrastive loss, here an MLP of
points and a table of eight names, each a text of one word. Points of one name are not told apart.

    python -m diffjax.train --config=configs/toys/clip.py --workdir=runs/ring8_clip
    python -m diffjax.evaluate --workdir=runs/ring8_clip

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common

NAMES = {"ring8": 8, "grid25": 25, "two_modes": 2, "moons": 2}


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("clip", name)
    config.data.num_classes = NAMES.get(name)
    config.model = common.mlp(out_features=16)
    config.conditions = ConfigDict(
        {"name": {"encoder": "classes", "array": "label", "num_classes": NAMES.get(name)}}
    )
    config.training.batch_size = 128
    config.evaluation.reference = 2000
    return config
