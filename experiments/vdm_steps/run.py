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
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import data, systems
from diffjax.likelihoods import continuous_elbo
from diffjax.pixels import to_model
from diffjax.process import schedules
from experiments import drawing, study

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
REMARKS_OF = "f318fa5fa205"
CAPTION = """
Above: the bound on held-out digits against the number of steps it is measured with, without and with Fourier
features of the image. Below left: how much one draw of the bound in continuous time varies (large points are
means, strokes the three seeds). Below right: what T steps lose on Gaussian data, exactly. To look at: how
little is lost from 100 steps on, what learning the schedule saves in bits and in variance, and where training
for 10 steps pays.
"""


def measure(name, config, variables, seed):
    if config is None:
        return {f"gap {steps}": _gap(steps) for steps in _DOUBLED}
    system, x = systems.build(config), to_model(data.load("digits", "test").x)
    key = jax.random.key(2000 + seed)

    @partial(jax.jit, static_argnums=(1, 2))
    def bits(variables, steps, draws, keys):
        parts = system.denoiser(variables), system.schedule(variables), x
        one = lambda key: continuous_elbo.bits_per_dim(key, *parts, num_steps=steps, draws=draws)["total"]
        return jax.lax.map(one, keys)

    found, first = {}, jax.random.fold_in(key, 0)[None]
    for steps in _STEPS:
        found[_title(steps)] = float(np.asarray(bits(variables, steps, 64, first), np.float64).mean())
    every = bits(variables, config.objective.get("num_steps"), 1, jax.random.split(key, 128))
    found["variance"] = float(every.var(axis=0, ddof=1).mean())
    ends = system.schedule(variables)(jnp.array([0.0, 1.0])).log_snr
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
    titles = {
        "fixed": "fixed schedule",
        "learned": "learned schedule",
        "trained at T = 10": "learned schedule, trained for 10 steps",
    }
    drawn, axes = drawing.panels(2, 2, 10, 7.4)
    (plain, fourier), (spread, exact) = axes
    at = [*_STEPS[:-1], 10_000]
    for axis, ending, ticks in (
        (plain, "", (6, 8, 10, 12, 16, 20)),
        (fourier, ", Fourier", (3.5, 4, 5, 6, 8, 10)),
    ):
        for i, (arm, title) in enumerate(titles.items()):
            name = arm if arm == _SHORT else arm + ending
            if name in results and (arm != _SHORT or ending):
                y = drawing.values(results, [name], map(_title, _STEPS))
                drawing.curve(axis, np.array(at) * 1.05 ** (i - 1), y, title, f"C{i}", marker="os^"[i])
        drawing.log(axis, at, ticks)
        axis.set_xticks(at, [*map(str, _STEPS[:-1]), "∞"])
        axis.set(xlabel="steps T of the bound", ylabel="bits a dimension of held-out digits")
        axis.set(title="with Fourier features" if ending else "without Fourier features")
    for i, arm in enumerate(("fixed", "learned")):
        y = drawing.values(results, [arm, f"{arm}, Fourier"], ["variance"])
        drawing.dots(spread, np.arange(2) + 0.2 * i - 0.1, y, titles[arm], f"C{i}", "os"[i])
    spread.set(xlabel="variance of one draw of the bound, (bits a dimension)²", xlim=(0, None))
    drawing.titled_rows([spread], ["without Fourier\nfeatures", "with Fourier\nfeatures"])
    gaps = drawing.values(results, [_EXACT], [f"gap {each}" for each in _DOUBLED])[:, 0]
    exact.plot(_DOUBLED, gaps, "ko-", markersize=4, linewidth=1.3, label="exact denoiser of Gaussian data")
    line = gaps[-1] * _DOUBLED[-1] / np.array(_DOUBLED)
    exact.plot(_DOUBLED, line, "k:", linewidth=1.2, label="in proportion to 1 / T")
    drawing.log(exact, _DOUBLED, (0.3, 0.5, 1, 2, 5, 10))
    exact.set(xlabel="steps T", ylabel="bound in T steps less its limit, nats")
    drawing.save(drawn, path, 3, drawing.SPREAD)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
