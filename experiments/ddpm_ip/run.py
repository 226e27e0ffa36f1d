"""Input perturbation (DDPM-IP, table of DDIM steps)

Ning et al. 2023 (arXiv:2301.11706), on the 8x8 digits instead of CIFAR-10: the same MLP trained with
gamma = 0 (plain DDPM), 0.05, 0.1, 0.15 and 0.3, sampled with S = 10 and 100 steps at eta = 0, 0.5 and 1.
Linear betas, T = 1000, an MLP of 3 x 256 units, 6,000 steps of 128 images; Frechet distance of 3,000 samples
to the training set in the features of a small classifier. The paper's numbers are those of gamma = 0.15; it
has none for eta = 1, but says that the gain grows with the stochasticity and shrinks with the steps, and that
too large a gamma hurts. S = 1000 is left out: it would cost more than all the rest.

A sampler's own errors are what the perturbed inputs stand for, so a worse network might gain more: the arms
"short" train 1,000 steps instead of 6,000.

    python -m experiments.ddpm_ip.run --out=runs/ddpm_ip
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from diffjax import samplers
from experiments import digits, study

_GAMMAS = (0.0, 0.05, 0.1, 0.15, 0.3)
_STEPS, _ETAS = (10, 100), (0.0, 0.5, 1.0)
_NUM = 3000
_SHORT = "short, "


def _arm(gamma, **training):
    return digits.config(
        schedule={"name": "linear_beta"},
        objective_={"kind": "eps", "input_perturbation": gamma},
        sampler_={"solver": "ddim", "steps": 1000},
        **training,
    )


ARMS = {f"gamma {gamma:g}": _arm(gamma) for gamma in _GAMMAS}
ARMS |= {f"{_SHORT}gamma {gamma:g}": _arm(gamma, num_steps=1000) for gamma in _GAMMAS}


def _metric(steps, eta):
    return f"S {steps}, eta {eta:g}"


def _gain(steps, eta, paper, training=""):
    metric = _metric(steps, eta)
    arms = ((f"{training}gamma {gamma}", metric) for gamma in (0.15, 0))
    return study.Claim(f"{training}{metric}: gamma 0.15 beats 0", paper, *arms)


_PAPER = {
    (10, 0.0): "FID 10.54 < 14.21",
    (10, 0.5): "FID 10.06 < 17.24",
    (10, 1.0): "direction only",
    (100, 0.0): "FID 4.52 < 4.66",
    (100, 0.5): "FID 3.66 < 4.88",
    (100, 1.0): "direction only",
}
CLAIMS = [
    _gain(steps, eta, paper, training)
    for training in ("", _SHORT)
    for (steps, eta), paper in _PAPER.items()
]  # fmt: skip
CLAIMS += [
    study.Claim(
        f"{_metric(10, eta)}: gamma 0.3 is too much", "U-shape in gamma",
        ("gamma 0.15", _metric(10, eta)), ("gamma 0.3", _metric(10, eta)),
    )
    for eta in _ETAS
]  # fmt: skip
REMARKS = """
- The paper's gain does not show at this scale. Perturbed inputs hurt most where sampling is deterministic and
  has many steps, less with more noise and fewer steps, and help, in the mean, only at S = 10 and eta = 1,
  short of the rule. So the dependence on steps and stochasticity is the paper's, and the sign is not. That
  too large a gamma hurts shows wherever eta is below 1.
- Why: the perturbed network learns the denoiser of noise sigma sqrt(1 + gamma^2) where there is sigma. That
  bias costs at every step; it pays where the sampler's own errors are as large, as with the many dimensions
  of an image, and here, in 64, only where steps are few and noisy.
- A network of short training gains nothing either: what it gets wrong it gets wrong at every gamma.
"""


def measure(name, config, params, seed):
    return {
        _metric(steps, eta): digits.distance(
            digits.samples(
                config, params, seed, solver=samplers.ddim(eta), num=_NUM,
                times=samplers.grids.spaced(1000, str(steps)),
            )
        )
        for steps in _STEPS
        for eta in _ETAS
    }  # fmt: skip


def figure(path, results):
    drawing = Figure(figsize=(9, 3.5))
    for axis, steps in zip(drawing.subplots(1, 2), _STEPS):
        for i, (eta, training) in enumerate((eta, training) for eta in _ETAS for training in ("", _SHORT)):
            arms = [results[f"{training}gamma {gamma:g}"] for gamma in _GAMMAS]
            curve = np.array([[seed[_metric(steps, eta)] for seed in rows] for rows in arms])
            gain = 100 * (curve / curve[0] - 1)
            style = {"color": f"C{i // 2}", "linestyle": "--" if training else "-", "capsize": 2}
            axis.errorbar(_GAMMAS, gain.mean(1), gain.std(1), label=f"{training}eta {eta:g}", **style)
        axis.axhline(0, color="k", linewidth=0.5)
        axis.set(title=f"S = {steps}", xlabel="gamma", ylabel="Fréchet distance, % off gamma = 0")
        axis.legend(frameon=False, fontsize=8)
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
