"""A variational autoencoder of scikit-learn's handwritten digits (8x8), unconditional.

Kingma & Welling 2013 (arXiv:1312.6114), with the discretized logistic of Kingma et al. 2016
(arXiv:1606.04934): grey values have probabilities, so that its bound stands beside the bits/dim of the other
systems. Samples are drawn from that likelihood; `--config.sampler.noise=False` shows its mean. A ladder of
three levels (Sonderby et al. 2016, arXiv:1602.02282): `--config=configs/digits/vae.py:ladder`.

    python -m diffjax.train --config=configs/digits/vae.py --workdir=runs/digits_vae
    python -m diffjax.evaluate --workdir=runs/digits_vae --bound_images=360

Two minutes of training and evaluation on two busy cores (Intel Xeon). Obtained: 3.72 +- 0.03 bits/dim of 360
held-out images by the bound, 3.60 +- 0.03 by that of 64 draws; 1,437 samples, of one network call each, are
at 6.0 times the floor of the Frechet distance (held-out images: 0.5), with precision 0.55. The ladder: 3.97
and 3.80 bits/dim, 2.5 times the floor, precision 0.74.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common

LATENTS = {"plain": (16,), "ladder": (16, 8, 4)}


def get_config(levels: str = "plain") -> ConfigDict:
    if levels not in LATENTS:
        raise ValueError(f"levels must be one of {', '.join(LATENTS)}; got {levels!r}")
    config = common.config("vae")
    config.model = ConfigDict({"name": "ladder", "latents": LATENTS[levels], "features": 128, "depth": 1})
    # a sharper logistic learns the training images by heart
    likelihood = ConfigDict({"name": "discretized_logistic", "log_scale_min": -3.5})
    config.objective = ConfigDict({"likelihood": likelihood, "beta": 1.0, "warmup": 300})
    config.sampler = ConfigDict({"noise": True})
    config.training.update({"num_steps": 3000, "checkpoint_every": 1000})
    return config
