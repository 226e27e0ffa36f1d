"""Inverse problems: pictures from what was measured of them (PiGDM, DPS, RePaint, SDEdit)

An unconditional MLP of the 8x8 digits (3 x 256 units, v-prediction, 3,000 steps of 128), and 64 held-out ones
that are measured with noise of 0.05 where pictures are in [-1, 1]: with a hole of 4x4 pixels, blurred, and
shrunk by the mean of 2x2 or 4x4 pixels. PiGDM (Song et al. 2023), DPS (Chung et al. 2023), replacement (Song
et al. 2021) and RePaint (Lugmayr et al. 2022, stretches of 10 steps walked 5 times) restore them by 100
ancestral steps; SDEdit (Meng et al. 2022) begins from what was measured, noised to 40 % of the steps. Beside
them what takes no network: the mean of the training set in the hole, the blurred picture itself, the nearest
pixel, bicubic interpolation.

"PSNR" is that of the restored pictures, in dB, the mean over them; inside the hole alone where there is one.
"residual" is the root mean square of A x - y over the noise: 1 for the truth, 0 for what repeats the noise as
well. "class" is the share whose class, by a judge of digits, is the truth's. DPS is unstable at noise n so
small: its shift is scaled by n^2 / (n^2 + sigma^2) at sigma of the level.

`python -m experiments.inverse_problems.picture` draws what is before and after, of any run.
"""

import functools
import sys

import numpy as np

from diffjax import systems
from diffjax.pixels import to_uint8
from diffjax.systems import read
from experiments import digits, drawing, study
from experiments.inverse_problems import bench

NUM, STEPS = 64, 100
CONFIG = digits.config(num_steps=3000, objective_={"kind": "v"})


@functools.cache
def digits_bench() -> bench.Bench:
    """Return the bench of held-out digits."""
    train, test = (read.source(CONFIG, split) for split in ("train", "test"))
    return bench.Bench(systems.build(CONFIG), train, test, NUM, STEPS)


ARMS = {
    f"{name}: {method}": CONFIG if method in task.methods else None
    for name, task in bench.tasks(CONFIG.data.shape, np.zeros(CONFIG.data.shape)).items()
    for method in (*task.plain, *task.methods)
}
_CLAIMS = (
    ("hole", "PiGDM", "mean", "–"),
    ("hole", "PiGDM", "replacement", "direction only"),
    ("hole", "RePaint", "replacement", "direction only, by LPIPS"),
    ("blur", "PiGDM", "as it is", "–"),
    ("blur", "PiGDM", "DPS", "–"),
    ("x2", "PiGDM", "bicubic", "–"),
    ("x4", "PiGDM", "bicubic", "–"),
    ("x4", "PiGDM", "SDEdit", "–"),
)
CLAIMS = [
    study.Claim(
        f"{task}: {more} beats {less}", paper, (f"{task}: {less}", "PSNR"), (f"{task}: {more}", "PSNR")
    )
    for task, more, less, paper in _CLAIMS
]
REMARKS = """
- Every direction shows. PiGDM is the best of all where it has a rival: 6.6 dB above the blurred picture,
  1.5 and 2.3 dB above bicubic interpolation, and nearest to the noise in what it would measure (1.0 to 1.5
  of it).
- In a hole replacement is hardly better than the mean of the training set, as what it makes up depends too
  little on what is known; RePaint mends that with five times the calls, PiGDM with a backward pass a step.
- What fills the hole by replacement or RePaint repeats the noise of the known pixels (0.57 of it, as what
  leaves [-1, 1] is cut), PiGDM takes it for noise.
- DPS, tamed, trusts what is measured too little: 2 to 4 times the noise is left where it had to mend a
  picture, and shrunk twice it is worse than bicubic. On Gaussians, where the truth is known, its bias and
  that of replacement are stated in docs/guidance.md; PiGDM is exact there
  (tests/guidance/test_measured.py).
- SDEdit at 40 % keeps what the noise leaves of what it begins from, and that is no more than 12.7 dB: it
  knows no measurement. Of four pixels nobody finds the class: 0.24 at best, where 0.7 of the digits shrunk
  twice are still read as what they were.
- One network of 3,000 steps, digits of 8x8; pictures are single draws and not means, which PSNR likes
  better.
"""
REMARKS_OF = "87982b84197c"
CAPTION = """
Left: how near restored pictures are to the truth. Right: how far what they would measure is from what was
measured, in units of its noise; dashed, the truth's. Black: what takes no network.

![before and after](../../docs/gallery/inverse_digits.png)
"""


def measure(arm, config, variables, seed):
    own, judge = digits_bench(), digits.reference()[0]
    y, x = own.restored(arm, variables, seed)
    same = judge.predict(to_uint8(x)) == judge.predict(to_uint8(own.truth))
    return {**own.scores(arm.split(": ")[0], y, x), "class": float(same.mean())}


def figure(path, results):
    drawn, (axes,) = drawing.panels(1, 2, 10.0, 5.4, sharey=True)
    arms = list(ARMS)
    for axis, metric in zip(axes, ("PSNR", "residual")):
        for plain, title, color in ((True, "without a network", "k"), (False, "with one", "C0")):
            rows = [i for i, arm in enumerate(arms) if (ARMS[arm] is None) == plain]
            y = drawing.values(results, [arms[i] for i in rows], [metric])
            drawing.dots(axis, rows, y, title, color)
    axes[0].set(xlabel="PSNR, dB")
    axes[1].set(xlabel="residual, in units of the noise")
    axes[1].axvline(1, color="k", linestyle="--", linewidth=1)
    drawing.titled_rows(axes, arms)
    drawing.save(drawn, path, 2, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
