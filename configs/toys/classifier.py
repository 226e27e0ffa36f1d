"""A noisy classifier of points in the plane: which Gaussian of the ring a noised point comes from.

Dhariwal & Nichol 2021 (arXiv:2105.05233), section 4, on the linear schedule of `configs/toys/ddpm.py`. The
law of the points is known, and so is the best that any classifier can do: the report has both at every level.

    python -m diffjax.train --config=configs/toys/classifier.py --workdir=runs/ring8_classifier
    python -m diffjax.evaluate --workdir=runs/ring8_classifier

Any other labelled set of points by its name: `--config=configs/toys/classifier.py:grid25`.

Expected: accuracy within 2 points of Bayes at every level. Training took 1.1 minutes of two busy cores (AMD
EPYC). Obtained on 20,000 fresh points, in % of them and in nats:

    t      log SNR    accuracy    Bayes     NLL       Bayes
    931     -8.77      22.09      22.09    1.9344    1.9343
    432     -1.74      25.56      25.71    1.8640    1.8634
    272     -0.13      35.99      36.02    1.6063    1.6050
    126      1.69      64.98      64.95    0.8471    0.8454
     43      3.79      97.11      97.08    0.0819    0.0807
      1      9.21      99.98     100.00    0.0006    0.0001

The largest difference to Bayes at the twelve levels is 0.15 points; of `:grid25`, with 25 classes, 0.28.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common

CLASSES = {"ring8": 8, "grid25": 25, "two_modes": 2, "moons": 2}


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("classifier", name)
    config.data.num_classes = CLASSES.get(name)
    config.schedule = ConfigDict({"name": "linear_beta", "num_steps": 1000})
    config.model = common.mlp(out_features=CLASSES.get(name))
    config.objective = ConfigDict({"times": "uniform"})
    config.evaluation.reference = 20_000
    return config
