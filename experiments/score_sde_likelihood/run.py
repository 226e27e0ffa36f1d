"""Likelihoods of VP and sub-VP, and likelihood weighting (Score SDE, table 2)

Song et al. 2021 (arXiv:2011.13456), table 2: the variance preserving SDE and the sub-VP SDE, on the 8x8
digits instead of CIFAR-10. Song, Durkan, Murray & Ermon 2021 (arXiv:2101.09258): the loss of eps ("plain")
against that with the weight g^2 of the likelihood, at uniform times ("weighted") and at times drawn in
proportion to g^2 / sigma^2, which leaves no weight ("importance"). An MLP of 3 x 256 units with six octaves
of Fourier features of the pixels, 5,000 steps of 128 images.

"bits/dim" is that of 45 held-out digits by the probability-flow ODE: the exact trace in 64 dimensions, 128
Runge-Kutta steps equal in the cube root of t from 1e-5 to 1, and uniform dequantisation in the 256 bins of
8-bit images, the same draw in all arms. Digits have 17 grey values of these 256: the numbers compare with
each other and with nothing else. "change of twice the steps" is that of 9 of them with 256 steps.
"fd" is the Frechet distance of 1,437 samples of the ODE (50 steps of Heun's method, x_0 not clipped) to the
training set, in the features of a small classifier; the arm "halves" is the distance between halves of the
training set, the floor. The paper's numbers are those of its "DDPM cont." on CIFAR-10.
"""

import sys

import jax
import numpy as np

from diffjax import data, systems
from diffjax.likelihoods import dequantisation, log_likelihood
from experiments import digits, drawing, study

_IMAGES, _CHECKED, _STEPS = 45, 9, 128  # held-out images, those of the check, steps of the ODE
_BINS = {"levels": 256, "low": -1 - 1 / 255, "high": 1 + 1 / 255}  # centred on the values the network saw


def _arm(schedule, objective):
    config = digits.config(
        num_steps=5000,
        schedule_=study.config_of(f"digits/{schedule}.py").schedule,
        model={"time_scale": 1000.0, "frequencies": 6},
        objective_={"kind": "eps"} | objective,
        sampler_={"solver": "heun", "steps": 50},
    )
    config.training.ema.decay = 0.998
    return config


_OBJECTIVES = {
    "plain": {},
    "weighted": {"weighting": "likelihood"},
    "importance": {"times": "uniform_log_snr"},
}
ARMS = {
    f"{title}, {how}": _arm(schedule, objective)
    for title, schedule in (("VP", "vp"), ("sub-VP", "sub_vp"))
    for how, objective in _OBJECTIVES.items()
} | {"halves": None}


_DIRECTION = "direction only"
_CLAIMS = {  # text: metric, arm that has less, arm that has more, the papers
    "plain: sub-VP needs fewer bits than VP": ("bits/dim", "sub-VP, plain", "VP, plain", "3.05 < 3.21"),
    "plain: sub-VP's samples beat VP's": ("fd", "sub-VP, plain", "VP, plain", "FID 3.56 < 3.69"),
} | {
    text: claim
    for title in ("VP", "sub-VP")
    for how in ("weighted", "importance")
    for text, claim in (
        (
            f"{title}: {how} needs fewer bits than plain",
            ("bits/dim", f"{title}, {how}", f"{title}, plain", _DIRECTION),
        ),
        (
            f"{title}: plain's samples beat {how}'s",
            ("fd", f"{title}, plain", f"{title}, {how}", _DIRECTION),
        ),
    )
}
CLAIMS = [
    study.Claim(text, paper, (less, metric), (more, metric))
    for text, (metric, less, more, paper) in _CLAIMS.items()
]
REMARKS = """
- Likelihood weighting at importance-sampled times does on VP what its paper says: fewer bits, worse samples.
- At uniform times the same objective costs bits, many of them. Its weight is near 1 / t: one image of a batch
  outweighs the others, and most batches have none from where much of the objective lies. The authors say that
  this variance is why they sample by importance, and gain a little without it too, in many more steps. That
  it is the variance and not the objective shows in the arms beside it.
- On sub-VP importance sampling wins nothing over the plain loss. The sub-VP SDE starts at sigma = 1e-6, so
  that two fifths of the draws have less noise than dequantisation puts into a bin, where there is nothing to
  learn; of VP's, which starts at 1e-3, it is 7 %.
- Sub-VP needs fewer bits than VP in the mean, by less than the paper's gap and short of the rule, and its
  samples are worse. Its noise is smaller at the same t, so uniform times train more of the small levels, and
  probably this network has too little capacity to do that at no cost to the levels that make the shapes.
- In a trial of one seed without Fourier features the MLP resolved no grey values: both SDEs cost the same
  bits, a whole one more, and no weighting saved any.
- Training saw the codes themselves, without the noise of dequantisation that the measurement adds. That would
  punish a network that resolves a bin, and at five bits and more none does.
- The ODE of a rough network is hard: twice the steps change the mean bits of the plain arms and of VP with
  importance sampling by about 0.01 or less, and those of single seeds of the others by up to 0.2, little
  beside what the claims are about, save that of importance sampling on sub-VP.
"""
REMARKS_OF = "42d76613f9ed"
CAPTION = """
Every trained network, three seeds an arm: what held-out digits cost (to the left is better) against how far
its samples are from the data (down is better). To look at: from each blue mark to the orange and the green
ones of its shape, which say what likelihood weighting does at uniform and at importance-sampled times.
"""


def measure(name, config, variables, seed):
    if config is None:
        return {"fd": digits.floor()}
    images = data.load("digits", "test").x[:_IMAGES]
    bits = _bits(config, variables, seed, images, _STEPS)
    again = _bits(config, variables, seed, images[:_CHECKED], 2 * _STEPS)
    return {
        "bits/dim": float(bits.mean()),
        "change of twice the steps": float(again.mean() - bits[:_CHECKED].mean()),
        "fd": digits.samples_distance(config, variables, seed, transform=digits.UNCLIPPED),
    }


def _bits(config, variables, seed, images, steps):
    """Return bits/dim of uint8 images [N, 8, 8, 1] under one draw of the dequantisation, [N]."""
    system, key = systems.build(config), jax.random.key(3000 + seed)
    schedule = system.schedule(variables)
    # log SNR of sub-VP begins at sigma = 1e-6: steps equal in it would mostly go where nothing happens
    times = np.linspace(schedule.t_min ** (1 / 3), schedule.t_max, steps + 1) ** 3

    @jax.jit
    def batch(variables, start, codes):
        x = dequantisation.uniform(jax.random.fold_in(key, start), codes, **_BINS)
        log_p = log_likelihood(None, system.denoiser(variables), schedule, x, times=times)
        return dequantisation.bits_per_dim(log_p, x[0].size, **_BINS)

    starts = range(0, len(images), _CHECKED)
    return np.concatenate([batch(variables, start, images[start : start + _CHECKED]) for start in starts])


def figure(path, results):
    losses = {
        "plain": "plain loss of eps",
        "weighted": "likelihood weight at uniform times",
        "importance": "likelihood weight by importance-sampled times",
    }
    drawn, axes = drawing.panels(1, 1, 7.5, 5.2)
    axis = axes[0, 0]
    for sde, marker in (("VP", "o"), ("sub-VP", "^")):
        for i, (how, title) in enumerate(losses.items()):
            bits, distance = drawing.values(results, [f"{sde}, {how}"], ["bits/dim", "fd"])
            style = {"color": f"C{i}", "marker": marker, "linestyle": "none", "alpha": 0.8}
            axis.plot(bits, distance, label=f"{sde}: {title}", **style)
    halves = drawing.values(results, ["halves"], ["fd"])
    drawing.level(axis, halves, "floor of the distance: halves of the training digits")
    axis.set(xlabel="held-out digits under the ODE, bits a dimension", ylim=(0, None))
    axis.set(ylabel="Fréchet distance of samples to the data")
    drawing.save(drawn, path, 2, "One mark a seed; towards the lower left is better")


if __name__ == "__main__":
    study.main(sys.modules[__name__])
