"""A noise-aware encoder of scikit-learn's handwritten digits, taught by the clean one of `digits/clip.py`.

Liu et al. 2021 (arXiv:2112.05744), section 3.3: what it sees in a noised digit is what the clean encoder sees
in the digit itself, told apart from the others of a batch; it reads no label. On the cosine schedule of
`configs/digits/unconditional.py`, which it steers by semantic guidance.

    python -m diffjax.train --config=configs/digits/clip.py --workdir=runs/digits_clip
    python -m diffjax.train --config=configs/digits/noise_aware.py --workdir=runs/digits_noise_aware
    python -m diffjax.evaluate --workdir=runs/digits_noise_aware

Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("noise_aware")
    config.clean = ConfigDict({"workdir": "runs/digits_clip"})
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = common.tower()
    config.objective = ConfigDict({"times": "uniform", "warm_start": True})
    return config
