"""A normalizing flow of scikit-learn's handwritten digits (8x8), unconditional.

Flow++ (Ho et al. 2019, arXiv:1902.00275) made small: couplings by mixtures of logistics, mixings of channels
as Glow's (Kingma & Dhariwal 2018, arXiv:1807.03039), two scales, and noise within the pixels' bins by a
network. `--config.objective.dequantisation=uniform` has it uniform; other couplings are
`--config.model.coupling=affine` (RealNVP) and `spline` (Durkan et al. 2019).

    python -m diffjax.train --config=configs/digits/normalizing_flow.py --workdir=runs/digits_normalizing_flow
    python -m diffjax.evaluate --workdir=runs/digits_normalizing_flow --bound_images=360

Eight minutes of training and evaluation on two busy cores (Intel Xeon). Obtained: 4.72 +- 0.05 bits/dim of
360 held-out images (the ODEs of the continuous-time systems: 4.49 to 5.46); 1,437 samples are at 3.2 times
the floor of the Frechet distance (held-out images: 0.5), with precision 0.63 and recall 0.98.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("normalizing_flow")
    config.model = ConfigDict(
        {"name": "flow", "steps": 3, "scales": 2, "coupling": "mixture", "features": 32}
    )
    config.model.update({"depth": 1, "components": 4})
    config.objective = ConfigDict({"dequantisation": "variational"})
    config.sampler = ConfigDict({"temperature": 1.0})
    config.optimizer.clip_norm = 10.0
    config.training.update({"num_steps": 1500, "checkpoint_every": 500})
    return config
