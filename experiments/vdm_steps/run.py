"""The number of steps, Fourier features and a learned schedule (VDM, table of T and ablations)

Kingma et al. 2021 (arXiv:2107.00630), on the 8x8 digits instead of CIFAR-10: the bound of T steps and of
continuous time, with and without Fourier features of the image (sines and cosines of 2^n pi x; n = 3, 4 for
the 17 grey values of the digits, where the paper has 7, 8 for 256), and log SNR a fixed line of time or
learned with the network. An MLP of 3 x 256 units, 5,000 steps of 128 images, unconditional.

"T = ..." is the bound in bits/dim of the 360 held-out digits with that many equal steps of time, 64 draws of
step and noise each. The network is trained once, in continuous time, and measured at every T; the arm
"trained at T = 10" is trained by the bound of 10 steps, as the paper does in one half of its table. The
decoder chooses from 256 values: numbers compare with each other and with nothing else. "variance" is that of
one draw of the bound of one image (in continuous time, but of its own bound for "trained at T = 10"), over
128 draws, averaged over the images, (bits/dim)^2. The arm "exact Gaussian" trains nothing: N(0, 1/4) data and
their exact denoiser, and "gap T" is L_T - L_inf in nats, from equation 14. The paper's numbers are those of
CIFAR-10, as they are remembered.

    python -m experiments.vdm_steps.run --out=runs/vdm_steps
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from diffjax import data
from diffjax.data import to_model
from diffjax.evaluation import bound
from diffjax.process import continuous_elbo, schedules
from diffjax.systems import assemble
from experiments import study

_STEPS = (10, 30, 100, 1000, None)
_DOUBLED = (10, 20, 40, 80, 160)
_ENDS = {"log_snr_max": 13.3, "log_snr_min": -5.0}
_SCHEDULES = {
    "fixed": {"name": "log_snr_linear", **_ENDS},
    "learned": {"name": "learned", "width": 256, **_ENDS},
}


def _arm(schedule, frequencies, **objective):
    model = {"name": "mlp", "width": 256, "depth": 3, "time_scale": 50.0, "frequencies": frequencies}
    ema = ConfigDict({"name": "constant", "decay": 0.999})
    return study.config_of(
        "digits/vdm.py",
        schedule_=_SCHEDULES[schedule],
        model_=model,
        objective_={"kind": "eps"} | objective,
        optimizer={"schedule": "constant"},  # the noise schedule has far to go, at most one rate a step
        training={"num_steps": 5000, "batch_size": 128, "ema": ema},
    )


ARMS = {
    "fixed": _arm("fixed", ()),
    "fixed, Fourier": _arm("fixed", (3, 4)),
    "learned": _arm("learned", ()),
    "learned, Fourier": _arm("learned", (3, 4)),
    "trained at T = 10": _arm("learned", (3, 4), num_steps=10),
    "exact Gaussian": None,
}


def _title(steps):
    return f"T = {steps or '∞'}"


_OURS, _SHORT, _EXACT, _END = "learned, Fourier", "trained at T = 10", "exact Gaussian", _title(None)
_CLAIMS = (  # text, the paper, (arm, metric) that is less, (arm, metric) that is more
    ("100 steps need fewer bits than 10", "2.90 < 7.54", (_OURS, "T = 100"), (_OURS, "T = 10")),
    ("1000 steps fewer than 100", "2.67 < 2.90", (_OURS, "T = 1000"), (_OURS, "T = 100")),
    ("continuous time fewer than 1000 steps", "2.65 < 2.67", (_OURS, _END), (_OURS, "T = 1000")),
    (
        "10 steps: training for them saves bits",
        "4.31 < 7.54",
        ("trained at T = 10", "T = 10"),
        (_OURS, "T = 10"),
    ),
    ("fixed: Fourier features save bits", "figure", ("fixed, Fourier", _END), ("fixed", _END)),
    ("learned: Fourier features save bits", "figure", (_OURS, _END), ("learned", _END)),
    ("a learned schedule lowers the variance", "–", ("learned", "variance"), ("fixed", "variance")),
    ("… with Fourier features", "0.53 < 6.35", (_OURS, "variance"), ("fixed, Fourier", "variance")),
    (
        "exact: 160 steps lose less than 80",
        "app. F",
        ("exact Gaussian", "gap 160"),
        ("exact Gaussian", "gap 80"),
    ),
)
CLAIMS = [study.Claim(*claim) for claim in _CLAIMS]
REMARKS = """
- More steps lose less. From 100 to 1000 steps the distance to continuous time falls about tenfold, as 1 / T;
  the exact Gaussian's halves with every doubling from 40 steps on. Ten steps between log SNR 13 and -5 are
  far too few and cost several bits, on CIFAR-10 as well.
- Training for 10 steps saves bits at 10 steps: what is between the ends of the learned schedule counts then,
  and the network sees its own levels alone. Away from them, at 100 steps and more, it is the worse one.
- Fourier features save bits, and many: an MLP does not find the grid of grey values by itself. Without
  them the learned schedule gives up on the finest noise, its largest log SNR falls from 13.3 to about 8.
- The learned schedule lowers the variance, by less than in the paper, more so the longer it is trained: Adam
  moves its parameters by one learning rate a step. After half of the steps, with a rate that fell to zero, it
  had saved a seventh of it without Fourier features and a thirtieth with them.
- A learned schedule also saves bits. In continuous time only its ends can do that by themselves; the rest is
  a better trained network, after the same number of steps.
"""


def measure(name, config, params, seed):
    if config is None:
        return {f"gap {steps}": _gap(steps) for steps in _DOUBLED}
    denoiser, levels, x = assemble.denoiser(config), assemble.levels(config), data.load("digits", "test").x
    key = jax.random.key(2000 + seed)
    found = {}
    for steps in _STEPS:
        found[_title(steps)] = bound.measure_continuous_bound(
            denoiser, params, levels, x, key=key, num_steps=steps, batch_size=360, progress=None
        )["bits_per_dim"]

    @jax.jit
    def draws(params, keys):
        one = lambda key: continuous_elbo.bits_per_dim(
            key, denoiser(params), levels(params), to_model(x), num_steps=config.objective.get("num_steps")
        )["total"]
        return jax.lax.map(one, keys)

    found["variance"] = float(draws(params, jax.random.split(key, 128)).var(axis=0, ddof=1).mean())
    ends = levels(params)(jnp.array([0.0, 1.0])).log_snr
    return found | {"log SNR max": float(ends[0]), "log SNR min": float(ends[1])}


def _gap(steps, variance=0.25):
    """L_T - L_inf of N(0, v), whose mean squared error of eps is alpha^2 v / (alpha^2 v + sigma^2)."""
    level = schedules.log_snr_linear(**_ENDS)(np.arange(steps + 1) / steps)
    signal = level.alpha**2 * variance
    errors = signal / (signal + level.sigma**2)
    in_steps = 0.5 * np.sum(np.expm1(-np.diff(level.log_snr)) * errors[1:])
    snr = np.exp(level.log_snr[[0, -1]])
    return float(in_steps - 0.5 * (np.log1p(variance * snr[0]) - np.log1p(variance * snr[1])))


def figure(path, results):
    drawing = Figure(figsize=(13, 4))
    steps, spread, gaps = drawing.subplots(1, 3)
    arms = [arm for arm in results if arm != _EXACT]
    keys, at = [_title(each) for each in _STEPS], [*_STEPS[:-1], 10_000]
    for arm in arms:
        curve = np.array([[seed[key] for key in keys] for seed in results[arm]])
        style = "--" if arm.startswith("fixed") else "-"
        steps.errorbar(at, curve.mean(0), curve.std(0), label=arm, linestyle=style, marker=".", capsize=2)
    steps.set(xscale="log", yscale="log", xlabel="steps T", ylabel="bits/dim on held-out digits")
    steps.set_xticks(at, [str(each) for each in at[:-1]] + ["∞"])
    steps.set_yticks([3, 4, 5, 7, 10, 15, 20], ["3", "4", "5", "7", "10", "15", "20"], minor=False)
    steps.yaxis.minorticks_off()
    steps.legend(frameon=False, fontsize=8)
    timeless = [arm for arm in arms if arm != _SHORT]  # its loss is another
    values = np.array([[seed["variance"] for seed in results[arm]] for arm in timeless])
    spread.barh(timeless, values.mean(1), xerr=values.std(1), color="C0", alpha=0.7)
    spread.set(xlabel="variance of one draw of the bound")
    spread.invert_yaxis()
    exact = [results[_EXACT][0][f"gap {each}"] for each in _DOUBLED]
    gaps.plot(_DOUBLED, exact, marker="o", label=_EXACT)
    gaps.plot(_DOUBLED, exact[-1] * _DOUBLED[-1] / np.array(_DOUBLED), "k:", label="1 / T")
    gaps.set(xscale="log", yscale="log", xlabel="steps T", ylabel="$L_T - L_\\infty$, nats")
    gaps.legend(frameon=False)
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
