"""Semantic guidance of an unconditional model of scikit-learn's handwritten digits (8x8).

Liu et al. 2021 (arXiv:2112.05744): the noise-aware encoder of `configs/digits/noise_aware.py` steers the
model of `configs/digits/unconditional.py`, which never saw a label, to a digit by its name, to what a
picture shows, to where it has its strokes, or to how it is drawn. A request says any of them.

    python -m diffjax.train --config=configs/digits/unconditional.py --workdir=runs/digits_unconditional
    python -m diffjax.train --config=configs/digits/clip.py --workdir=runs/digits_clip
    python -m diffjax.train --config=configs/digits/noise_aware.py --workdir=runs/digits_noise_aware
    python -m diffjax.sample --config=configs/digits/semantic.py --out=runs/digits_semantic --text=three
    python -m diffjax.sample --config=configs/digits/semantic.py --out=runs/digits_like --image=exemplar.png
    python -m diffjax.sample --config=configs/digits/semantic.py --out=runs/digits_bold --ask=style=bold.png

Weights: `--config.sampler.guides.text=200`. Those here, and the levels at which a style is looked at, are of
`experiments/semantic_guidance`, which has smaller encoders and numbers. The clean encoder itself, by the
predicted x_0: `--config.encoder.workdir=runs/digits_clip --config.sampler.guides_of_x0=True`, with weights of
its own. Not run at this length.
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.system = "semantic"
    config.data = common.config("semantic").data
    config.denoiser = ConfigDict({"workdir": "runs/digits_unconditional"})
    config.encoder = ConfigDict({"workdir": "runs/digits_noise_aware"})
    config.sampler = ConfigDict(
        {"solver": "ancestral", "steps": 50, "grid": "uniform", "threshold": "static", "guides_of_x0": False}
    )
    config.sampler.guides = ConfigDict({"text": 60.0, "image": 200.0, "layout": 100.0, "style": 3000.0})
    config.sampler.guide_intervals = ConfigDict({"style": (0.0, 0.5)})
    config.evaluation = ConfigDict({"num_samples": 500, "batch_size": 250})
    return config
