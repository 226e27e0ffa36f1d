"""What to predict and how to weight it (DDPM, table 2)

Ho et al. 2020 (arXiv:2006.11239), table 2, on a ring of eight Gaussians instead of CIFAR-10: the same MLP
predicts eps, the posterior mean, x_0 or v and minimises either the unweighted error of its own target or the
bound with fixed variances. T = 1000, linear betas, 4,000 steps of 512 points; 5,000 ancestral samples of 1000
steps. The density of the data is known, so "nll" is the samples' mean negative log density under it, less
its entropy: 0 is perfect, and samples between the modes cost most. "sliced_w2" is the sliced 2-Wasserstein
distance to 5,000 fresh points; the arm "data" measures other fresh points, the floor of both.

    python -m experiments.ddpm_table2.run --out=runs/ddpm_table2
"""

import sys

import jax
import numpy as np
from matplotlib.figure import Figure

from diffjax import exact, systems, toys
from diffjax.data import toys as points
from diffjax.evaluation.wasserstein import sliced_wasserstein
from experiments import study

_NUM = 5000


def _arm(kind, loss="simple"):
    objective = {"kind": kind} | ({"loss": "bound", "variance": "fixed_large"} if loss == "bound" else {})
    return study.config_of(
        "toys/ddpm.py",
        "ring8",
        objective_=objective,
        sampler_={"solver": "ancestral", "variance": "fixed_large", "steps": 1000, "grid": "uniform"},
        training={"num_steps": 4000},
    )


ARMS = {
    "eps, simple": _arm("eps"),
    "eps, bound": _arm("eps", "bound"),
    "mean, simple": _arm("mean"),
    "mean, bound": _arm("mean", "bound"),
    "x0, simple": _arm("x0"),
    "v, simple": _arm("v"),
    "data": None,
}
_NLL = {name: (name, "nll") for name in ARMS}
CLAIMS = [
    study.Claim(
        "eps: the simple loss beats the bound", "FID 3.17 < 13.51", _NLL["eps, simple"], _NLL["eps, bound"]
    ),
    study.Claim(
        "eps with the simple loss beats the mean with the bound", "FID 3.17 < 13.22",
        _NLL["eps, simple"], _NLL["mean, bound"],
    ),
    study.Claim(
        "the unweighted error of the mean fails", "unstable, no number",
        _NLL["eps, simple"], _NLL["mean, simple"],
    ),
    study.Claim(
        "mean: the bound beats its unweighted error", "FID 13.22 < unstable",
        _NLL["mean, bound"], _NLL["mean, simple"],
    ),
]  # fmt: skip


def measure(name, config, params, seed):
    mixture = exact.gaussian_mixture(*toys.ring8())
    if config is None:
        x = points.ring8(np.random.default_rng([seed, 7]), _NUM)[0]
    else:
        sample = jax.jit(systems.build(config).sample, static_argnums=5)
        x = np.asarray(sample(params, (), (), jax.random.key(1000 + seed), None, _NUM))
    real = points.ring8(np.random.default_rng([seed, 8]), _NUM)[0]
    entropy = -float(np.mean(mixture.log_prob(points.ring8(np.random.default_rng(9), 200_000)[0])))
    return {
        "nll": -float(np.mean(mixture.log_prob(x))) - entropy,
        "sliced_w2": sliced_wasserstein(x, real, np.random.default_rng(seed)),
    }


def figure(path, results):
    drawing = Figure(figsize=(8, 3.5))
    axes = drawing.subplots(1, 2)
    arms = list(results)
    for axis, metric in zip(axes, ("nll", "sliced_w2")):
        values = np.array([[max(seed[metric], 1e-3) for seed in results[arm]] for arm in arms])
        axis.barh(arms, values.mean(1), xerr=values.std(1), color="C0", alpha=0.7)
        axis.set(xscale="log", xlabel=metric)
        axis.invert_yaxis()
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
