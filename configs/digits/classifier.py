"""A noisy classifier of scikit-learn's handwritten digits (8x8, ten classes).

Dhariwal & Nichol 2021 (arXiv:2105.05233), section 4: the way down of a U-Net with attention pooling, trained
on digits noised by the cosine schedule of `configs/digits/unconditional.py`, which it steers in
`configs/digits/classifier_guided.py`. Trained on the 1,437 images of the training split alone.

    python -m diffjax.train --config=configs/digits/classifier.py --workdir=runs/digits_classifier
    python -m diffjax.evaluate --workdir=runs/digits_classifier

Training took 1.7 minutes of two busy cores (Intel Xeon). Obtained on the 360 held-out images:

    t      log SNR    accuracy    NLL       calibration error
    928     -4.37      13.6 %    2.268      0.013
    861     -3.03      20.6 %    2.137      0.020
    720     -1.53      42.5 %    1.613      0.068
    472      0.15      80.8 %    0.523      0.054
    213      2.05      98.6 %    0.030      0.014
      1     10.09      99.2 %    0.023      0.007
"""

from ml_collections import ConfigDict

from diffjax.configs.digits import common


def get_config() -> ConfigDict:
    config = common.config("classifier")
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = common.tower(out_features=10, dropout=0.2)
    config.objective = ConfigDict({"times": "uniform"})
    return config
