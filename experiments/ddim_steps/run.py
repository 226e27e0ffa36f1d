"""Steps and stochasticity of the sampler (DDIM, table 1)

Song et al. 2020 (arXiv:2010.02502), table 1: eta = 0, 0.5, 1 and the larger variance (sigma-hat) at S steps
of one model. Twice here: with the exact score of a ring of eight Gaussians (linear betas, T = 1000; "ring":
the sliced 2-Wasserstein distance of 10,000 samples to as many real points, whose floor is the arm "ring,
data"), and with an MLP trained on 8x8 digits ("digits": the Frechet distance of 1,437 samples in a
classifier's features; three trained networks).

The exact score shows what the solver alone does. On digits the paper's crossing, where sigma-hat with 1000
steps is best of all, is not claimed: it needs a better network than this one.

    python -m experiments.ddim_steps.run --out=runs/ddim_steps
"""

import sys

import jax
import numpy as np
from matplotlib.figure import Figure

from diffjax import exact, samplers, toys
from diffjax.data import toys as points
from diffjax.evaluation.wasserstein import sliced_wasserstein
from diffjax.process import schedules
from experiments import digits, study

_NUM = 10_000
_STEPS = (5, 10, 20, 50, 100, 1000)
_SOLVERS = {
    "eta 0": samplers.ddim(0.0),
    "eta 0.5": samplers.ddim(0.5),
    "eta 1": samplers.ddim(1.0),
    "sigma-hat": samplers.ancestral("fixed_large"),
}

_NETWORK = digits.config(
    schedule={"name": "linear_beta"},
    objective_={"kind": "eps"},
    sampler_={"solver": "ddim", "steps": 1000},
)
ARMS = {f"ring, {name}": None for name in (*_SOLVERS, "data")} | {"digits": _NETWORK}


def _claim(where, steps, less, more, paper):
    side = (
        (lambda name: (f"ring, {name}", f"S {steps}"))
        if where == "ring"
        else (lambda name: ("digits", f"{name}, S {steps}"))
    )
    return study.Claim(f"{where}, S = {steps}: {less} beats {more}", paper, side(less), side(more))


CLAIMS = [
    _claim("ring", 10, "eta 0", "eta 1", "FID 13.36 < 41.07"),
    _claim("ring", 20, "eta 0", "eta 1", "FID 6.84 < 18.36"),
    _claim("ring", 1000, "sigma-hat", "eta 0", "FID 3.17 < 4.04"),
    _claim("digits", 10, "eta 0", "eta 0.5", "FID 13.36 < 16.66"),
    _claim("digits", 10, "eta 0", "eta 1", "FID 13.36 < 41.07"),
    _claim("digits", 10, "eta 0", "sigma-hat", "FID 13.36 < 367.43"),
    _claim("digits", 20, "eta 0", "eta 0.5", "FID 6.84 < 8.35"),
    _claim("digits", 20, "eta 0", "eta 1", "FID 6.84 < 18.36"),
    _claim("digits", 20, "eta 0", "sigma-hat", "FID 6.84 < 133.37"),
]


def measure(name, config, params, seed):
    if config is not None:
        return {
            f"{title}, S {steps}": digits.distance(
                digits.samples(
                    config, params, seed, solver=solver, times=samplers.grids.spaced(1000, str(steps))
                )
            )
            for title, solver in _SOLVERS.items()
            for steps in _STEPS
        }
    real = points.ring8(np.random.default_rng([seed, 8]), _NUM)[0]
    away = lambda x: sliced_wasserstein(np.asarray(x), real, np.random.default_rng(seed))
    title = name.removeprefix("ring, ")
    if title == "data":
        other = away(points.ring8(np.random.default_rng([seed, 9]), _NUM)[0])
        return {f"S {steps}": other for steps in _STEPS}
    return {f"S {steps}": away(_exact(title, steps, seed)) for steps in _STEPS}


def _exact(title, steps, seed):
    schedule = schedules.linear_beta(1000)
    denoise = exact.gaussian_mixture(*toys.ring8()).denoiser()
    times = samplers.grids.spaced(1000, str(steps))
    return samplers.sample(jax.random.key(seed), denoise, schedule, _SOLVERS[title], times, shape=(_NUM, 2))


def figure(path, results):
    drawing = Figure(figsize=(10, 4))
    ring, images = drawing.subplots(1, 2)
    for title in _SOLVERS:
        curve = np.array([[seed[f"S {steps}"] for steps in _STEPS] for seed in results[f"ring, {title}"]])
        ring.errorbar(_STEPS, curve.mean(0), curve.std(0), label=title, capsize=2)
        curve = np.array([[seed[f"{title}, S {steps}"] for steps in _STEPS] for seed in results["digits"]])
        images.errorbar(_STEPS, curve.mean(0), curve.std(0), label=title, capsize=2)
    ring.axhline(
        np.mean([seed["S 5"] for seed in results["ring, data"]]), color="k", linestyle=":", label="real"
    )
    ring.set(title="exact score of a ring", ylabel="sliced Wasserstein distance")
    images.set(title="network on digits", ylabel="Fréchet distance")
    for axis in (ring, images):
        axis.set(xscale="log", yscale="log", xlabel="steps S")
        axis.legend(frameon=False, fontsize=8)
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
