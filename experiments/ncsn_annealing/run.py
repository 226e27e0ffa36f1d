"""Annealed Langevin dynamics between far modes (NCSN, figure 3; NCSNv2, techniques 1, 2 and 4)

Song & Ermon 2019 (arXiv:1907.05600), section 4.3 and figure 3, and Song & Ermon 2020 (arXiv:2006.09011): two
Gaussians of standard deviation s = 1 at (-5, 0) and (5, 0) of weights 0.2 and 0.8. All chains start uniformly
in [-8, 8]^2, half of them on the side of the small mode. "exact" walks the exact score with 20,000 chains,
"learned" a noise-conditional score network (MLP of 3 x 128 units, 5,000 steps of 512 points) with 6,000.

- "annealed": 10 levels of noise from 20 to sigma_L = 0.5, T = 100 steps each, of size 0.05 sigma^2 /
  sigma_L^2. "constant": 0.05 at all levels. "plain": all 1,000 steps at the smallest level.
- "figure 3": the authors' own toy, where the levels are those of the modes themselves: two points with noise
  from 20 to 1, whose last level is the data. T = 100, steps of 0.1. Modes at distance 10 in place of 14.
- "v2": noise from 18, the largest distance of two points (technique 1), to 0.1, T = 5, the step by technique
  4 and denoising at the end. "from 2": less noise than technique 1 asks for. "points": modes without a width,
  for which technique 4 is derived; not denoised, their width should be sigma_L.

"small mode" is the share of samples left of 0 and "weight error" its distance from 0.2. "width" is the
standard deviation within the modes, s if all is right; "to s^2" and "to s^2 + sigma_L^2" are the distances of
its square from the data's and from that of the last level. "calls" of the network are for one sample. "data"
is fresh points, "tolerance" the error of the weight that still counts as right.
"""

import sys
from functools import cache
from typing import NamedTuple

import jax
import numpy as np

from diffjax import exact, samplers, systems, toys
from diffjax.process import annealing, schedules
from experiments import drawing, study

_EXACT, _LEARNED = 20_000, 6000  # chains
_CLEAN, _NOISY = "to s^2", "to s^2 + sigma_L^2"
_MIXTURE = toys.two_modes()
_TOLERANCE = 0.03


class _Chain(NamedTuple):
    """Annealed Langevin dynamics: `num` levels of noise from `most` to `least`, `steps` at each."""

    most: float
    least: float
    num: int
    steps: int
    step_size: float
    rule: str = "annealed"
    denoise: bool = False
    points: bool = False  # the modes are points: all of their width is noise


def _version2(num, factor=1.0, most=18.0, points=False):
    """Return a chain by the rules of version 2, its step times a factor; points stay as noisy as sigma_L."""
    epsilon = 2 * factor * annealing.step_size(most, 0.1, num, 5)  # twice: version 1's convention
    return _Chain(most, 0.1, num, 5, epsilon, denoise=not points, points=points)


_RULES = ("plain", "constant", "annealed")
_FIGURE3 = _Chain(20.0, 1.0, 10, 100, 0.1, points=True)
_FIRST = _Chain(20.0, 0.5, 10, 100, 0.05)
_BOTH = {rule: _FIRST._replace(rule=rule) for rule in _RULES} | {
    "annealed, denoised": _FIRST._replace(denoise=True),
    "annealed, T 300": _FIRST._replace(steps=300),
    "v2, L 200": _version2(200),
}
_FACTORS = {", step x 0.25": 0.25, "": 1.0, ", step x 4": 4.0}
_CHAINS = (
    {f"exact: figure 3, {rule}": _FIGURE3._replace(rule=rule) for rule in _RULES}
    | {f"exact: {name}": chain for name, chain in _BOTH.items()}
    | {"exact: v2, L 200, from 2": _version2(200, most=2.0)}
    | {f"exact: v2, L 40{name}": _version2(40, factor) for name, factor in _FACTORS.items()}
    | {
        f"exact: v2, points, L 40{name}": _version2(40, factor, points=True)
        for name, factor in _FACTORS.items()
    }
    | {f"learned: {name}": chain for name, chain in _BOTH.items()}
)


def _network(chain, file):
    # the octaves are for data in [-1, 1]; the embedding of the level is for times up to 1000
    return study.config_of(
        file,
        "two_modes",
        schedule={"sigma_max": chain.most, "sigma_min": chain.least, "num_levels": chain.num},
        model={"frequencies": 0, "time_scale": 1000.0 / chain.num},
        sampler={"steps": chain.num, "steps_per_level": chain.steps, "step_size": chain.step_size},
    )


_NETWORKS = {1: _network(_FIRST, "toys/ncsn.py"), 2: _network(_version2(200), "toys/ncsnv2.py")}
ARMS = {
    name: _NETWORKS[2 if "v2" in name else 1] if name.startswith("learned") else None for name in _CHAINS
} | {"data": None, "tolerance": None}
_ERROR, _POINTS = "weight error", "points, L 40"
_CLAIMED = [  # of both the exact and the learned score: less, more
    ("annealing finds the weights, plain Langevin does not", "figure 3", "annealed", "plain", _ERROR),
    ("steps in proportion to sigma^2 beat constant ones", "section 4.3", "annealed", "constant", _ERROR),
    ("annealed, T 300, is within 0.03", "figure 3", "annealed, T 300", "tolerance", _ERROR),
    ("plain Langevin is not within 0.03", "figure 3", "tolerance", "plain", _ERROR),
    ("denoised, the modes are no wider than the data", "v2", "annealed, denoised", "data", "width"),
]
_VERSION2 = [
    ("as much noise as the data are wide", "technique 1", "L 200", "L 200, from 2", _ERROR),
    ("more levels at the same T", "technique 2", "L 200", "L 40", _ERROR),
    ("the rule's step beats a smaller one", "technique 4", "L 40", "L 40, step x 0.25", _CLEAN),
    ("the rule's step beats a larger one", "technique 4", "L 40", "L 40, step x 4", _CLEAN),
    *(
        (f"points: a step x {factor} is worse", "technique 4", _POINTS, f"{_POINTS}, step x {factor}", _NOISY)
        for factor in ("0.25", "4")
    ),
]


def _claim(where, text, paper, less, more, metric):
    arm = lambda name: name if name in ("data", "tolerance") else f"{where}{name}"
    return study.Claim(f"{where}{text}", paper, (arm(less), metric), (arm(more), metric))


def _width_claim(where):
    arm = f"{where}annealed"
    text = f"{where}not denoised, the variance is s^2 + sigma_L^2 rather than s^2"
    return study.Claim(text, "v2", (arm, _NOISY), (arm, _CLEAN))


CLAIMS = (
    [_claim("exact: figure 3, ", *claim) for claim in _CLAIMED[:2]]
    + [_claim("exact: figure 3, ", "annealed is within 0.03", "figure 3", "annealed", "tolerance", _ERROR)]
    + [_claim(where, *claim) for where in ("exact: ", "learned: ") for claim in _CLAIMED]
    + [_width_claim(where) for where in ("exact: ", "learned: ")]
    + [_claim("exact: v2, ", *claim) for claim in _VERSION2]
)
REMARKS = """
- Plain Langevin dynamics keeps the half of its chains that start at the small mode, 0.49 for 0.2; annealing
  brings that to 0.21 to 0.24. What is left of the error has one sign: chains stop to cross over while the
  modes still overlap, and of the noisy density 0.219 is left of 0 at noise 2.5 and 0.208 at noise 2. It falls
  with more steps (T = 300: 0.006 with the exact score). Figure 3's setting and the one of ten levels with
  T = 100 are within 0.03; version 2's T = 5 is with 200 levels, not with 40.
- The network adds to that: with T = 300 it gives 0.223 where the exact score gives 0.206, and no less than
  with T = 100. 0.006 of it is the share of its 20,000 training points, 0.206. Version 2's network of 200
  levels is at 0.235, beyond the tolerance.
- Not denoised, the variance is 1.25 plus what the finite step adds, 1.25 / (1 - 0.05 / (4 1.25)) - 1.25 =
  0.013. Denoised it is s^4 / (s^2 + sigma_L^2) = 0.8: a mean varies less than what it is the mean of. With
  sigma_L = 0.5 one error is as large as the other; with 0.1 they are 1 % of the variance.
- Technique 4's step is the best of the three for modes without a width, of which it speaks. For modes of
  width 1 four times that step is better: below noise 1 they no longer shrink with the noise, steps in
  proportion to sigma^2 move them ever less, and they keep the width of a level above.
"""
REMARKS_OF = "7c88dab45b83"
CAPTION = """
Where chains end that start with half of them at the small mode. Left: their share there, 0.2 if all is right,
between the grey lines if the error is at most 0.03. Right: how wide the modes came out, 1 if all is right;
without denoising the last level's noise is on top. Large points are means, strokes the three seeds. To look
at: that plain Langevin dynamics moves next to none of the chains, and which rows reach the band.
"""


def measure(name, config, variables, seed):
    if name == "tolerance":
        return {_ERROR: _TOLERANCE}
    key = jax.random.key(seed)
    if name == "data":
        return _metrics(_truth(False).sample(jax.random.fold_in(key, 1), _EXACT))
    chain = _CHAINS[name]
    denoise = _denoiser(chain.points) if config is None else systems.build(config).denoiser(variables)
    x, calls = _walk(key, denoise, chain, _EXACT if config is None else _LEARNED)
    found = _metrics(x)
    noisy = chain.least**2 + (0.0 if chain.points else 1.0)
    if chain.points:
        del found[_CLEAN]
    return found | {_NOISY: abs(found["width"] ** 2 - noisy), "calls": calls}


@cache
def _truth(points):
    spread = np.zeros_like(_MIXTURE.covariances) if points else _MIXTURE.covariances
    return exact.gaussian_mixture(*_MIXTURE._replace(covariances=spread))


@cache
def _denoiser(points):
    return _truth(points).denoiser()  # one object, so that a solver is compiled once for all seeds


def _walk(key, denoise, chain, num):
    """Return samples [num, 2] and the network calls of each."""
    schedule = schedules.geometric(chain.most, chain.least, chain.num)
    grids = {
        "annealed": [np.arange(chain.num, -1, -1)],
        "constant": [[n, n - 1] for n in range(chain.num, 0, -1)],  # a grid of one level is plain Langevin
        "plain": [[1, 0]],
    }[chain.rule]
    steps = chain.steps * chain.num if chain.rule == "plain" else chain.steps
    solver = samplers.annealed_langevin(chain.step_size, steps, chain.denoise)
    x = jax.random.uniform(key, (num, 2), minval=-8.0, maxval=8.0)
    for i, times in enumerate(grids):
        x = samplers.sample(jax.random.fold_in(key, i), denoise, schedule, solver, times, x_init=x)
    return x, chain.num * chain.steps + chain.denoise


def _metrics(x):
    x, right = np.asarray(x, np.float64), _MIXTURE.means[1]
    left = x[:, 0] < 0
    within = np.where(left[:, None], x + right, x - right)
    share, variance = float(left.mean()), float(np.mean(within**2))
    return {
        "small mode": share,
        _ERROR: abs(share - float(_MIXTURE.weights[0])),
        "width": variance**0.5,
        _CLEAN: abs(variance - 1.0),
    }


def figure(path, results):
    titles = {
        "figure 3, plain": "toy of figure 3: least noise only",
        "figure 3, constant": "toy of figure 3: 10 levels, constant steps",
        "figure 3, annealed": "toy of figure 3: 10 levels, steps as noise²",
        "plain": "least noise only (plain Langevin)",
        "constant": "10 levels, constant steps",
        "annealed": "10 levels, steps as noise² (annealed)",
        "annealed, denoised": "annealed, denoised at the end",
        "annealed, T 300": "annealed, 300 steps a level in place of 100",
        "v2, L 200": "version 2: 200 levels, 5 steps each",
        "v2, L 200, from 2": "version 2, from noise 2 in place of 18",
        "v2, L 40, step x 0.25": "version 2, 40 levels, steps of a quarter",
        "v2, L 40": "version 2, 40 levels",
        "v2, L 40, step x 4": "version 2, 40 levels, steps four times as long",
    }
    drawn, axes = drawing.panels(1, 2, 10.5, 5.6, sharey=True)
    for axis, metric in zip(axes[0], ("small mode", "width")):
        for i, where in enumerate(("exact", "learned")):
            rows = [row for row, name in enumerate(titles) if f"{where}: {name}" in results]
            y = drawing.values(results, [f"{where}: {list(titles)[row]}" for row in rows], [metric])
            title = {"exact": "exact score", "learned": "network"}[where]
            drawing.dots(axis, np.array(rows) + 0.3 * i - 0.15, y, title, f"C{i}", "os"[i])
    shares, widths = axes[0]
    right = float(_MIXTURE.weights[0])
    shares.axvspan(right - _TOLERANCE, right + _TOLERANCE, color="k", alpha=0.08, linewidth=0)
    for axis, truth in ((shares, right), (widths, 1.0)):
        axis.axvline(truth, color="k", linestyle=":", linewidth=1.2, label="truth")
    shares.set(xlabel="share of the samples in the small mode", xlim=(0.15, 0.55))
    widths.set(xlabel="standard deviation within the modes")
    drawing.titled_rows(axes[0], list(titles.values()))
    drawing.save(drawn, path, 3, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
