"""Progressive distillation (half the steps again and again, with guidance and without)

Salimans & Ho 2022 (arXiv:2202.00512): a student begins as its teacher and learns to take one step of DDIM
where that takes two, and is the teacher of the next. First teachers are networks of v, of x_0 and of eps, of
the class-conditional 8x8 digits (MLPs of 3 x 256 units, `configs/digits/teacher.py` with 5,000 steps) and of
the ring of eight Gaussians (`configs/toys/flow.py`, 2,500 steps), trained with their own losses (of x_0:
max(SNR, 1)) on the cosine schedule cut at log SNR -5, for all three alike: where alpha is 0 a network of eps
says nothing of x_0 and is refused. Students take 500 steps on digits and 300 on the ring, with the configs'
learning rate of 1e-3 that falls to 0, and the weight max(SNR, 1) on the error of x_0, those of eps the SNR,
which is their own loss. The chain of v on digits goes from 64 steps to one, its first teacher's being 128;
the others, to save time, from 8, their teacher's being 16.

"guided" is Meng et al. 2023 (arXiv:2210.03142): the digits' network of v, guided by w, is distilled into one
network that takes w in [0, 4] (`configs/digits/distill_guidance.py`, 1,500 steps), which takes 16 steps, and
that into students of 8 to one. "stochastic" ones learned from the half steps too and are walked by
`samplers.ddim(ahead=2)`: the student of N takes 2N calls.

1,437 digits of the classes of the training digits, or 5,400 points, from the same noise in all arms.
"distance" is over its floor: Fréchet in the features of a classifier over that between halves of the training
digits, or sliced Wasserstein over that of as many fresh points. "teacher" is that of what the student learned
from, in 2N steps (of the guided network in 16, the teacher's guided in 16), "ratio" what is between them;
"DDIM" and "DDIM, 2N" those of the first teacher in N and in 2N steps, guided at two calls a step. "off" is
how far samples are from where the first teacher's ODE goes from the same noise, RMS a pixel in [-1, 1] or a
coordinate: on digits where its own 128 steps go, guided alike, on the ring where the exact ODE goes, for
1,000 points. "class" is the share of the class asked for, "TV" how far the shares of modes are off, "nll" how
unlikely points are, nats less the entropy.
"""

import sys
from typing import NamedTuple

from experiments import drawing, study
from experiments.progressive_distillation import chains
from experiments.progressive_distillation.chains import CHAINS, TEACHERS, of_steps

trained = chains.trained


class _Row(NamedTuple):
    """An arm: a run, in how many steps it is sampled, and beside how many of the one that it learned from."""

    run: str
    steps: int
    beside: int | None
    weight: float | None = None
    ahead: int = 1


_FEW, _WEIGHTS = (8, 4, 2, 1), (0.0, 1.0, 2.0)
_DETERMINISTIC, _STOCHASTIC = "guided", "guided, stochastic"
_BAR, _MOST = "bar", 1.15  # of a distance over that of the teacher
_COLORS = {"v": "C0", "x_0": "C2", "eps": "C3"}


def _arm(chain, calls, weight=None):
    """Return the name of the arm of a chain in so many network calls."""
    return f"{chain}, N = {calls}" + ("" if weight is None else f", w = {weight:g}")


ROWS = {
    _arm(name, steps): _Row(of_steps(name, steps), steps, 2 * steps)
    for name, chain in CHAINS.items()
    if not name.startswith(chains.GUIDED)
    for steps in chain.steps()
}
ROWS |= {
    _arm(_DETERMINISTIC, steps, weight): _Row(run, steps, beside, weight)
    for run, steps, beside in (
        (chains.GUIDED, 16, 16),
        *((of_steps(_DETERMINISTIC, steps), steps, 2 * steps) for steps in _FEW),
    )
    for weight in _WEIGHTS
}
ROWS |= {
    _arm(_STOCHASTIC, steps, weight): _Row(of_steps(_STOCHASTIC, steps // 2), steps, None, weight, ahead=2)
    for steps in _FEW[:-1]
    for weight in _WEIGHTS
}
ARMS = {name: TEACHERS[row.run] for name, row in ROWS.items()} | {_BAR: None}


def measure(name, config, variables, seed):
    if config is None:
        return {"ratio": _MOST}
    row, (own, teacher, original) = ROWS[name], variables
    found = chains.quality(own, seed, row.steps, row.weight, row.ahead)
    plain, twice = (chains.quality(original, seed, n, row.weight) for n in (row.steps, 2 * row.steps))
    compared = {"DDIM": plain["distance"], "DDIM, 2N": twice["distance"]}
    if row.beside:
        distance = chains.quality(teacher, seed, row.beside, row.weight)["distance"]
        compared |= {"teacher": distance, "ratio": found["distance"] / distance}
    compared["off"] = chains.error(own, original, seed, row.steps, row.weight, row.ahead)
    compared["DDIM off"] = chains.error(original, original, seed, row.steps, row.weight)
    if "class" in plain:
        compared["DDIM class"] = plain["class"]
    return found | compared


def _claim(text, paper, metric, less, more):
    """Return a claim of two arms, one of which may be of another metric: (arm, metric)."""
    sides = [side if isinstance(side, tuple) else (side, metric) for side in (less, more)]
    return study.Claim(text, paper, *sides)


def _within(chain, steps):
    text = f"{chain}, {steps}: at most {_MOST} times as far as its teacher in {2 * steps}"
    return _claim(text, "FD(N) ≈ FD(2N)", "ratio", _arm(chain, steps), _BAR)


_FIRST = {"distance": ("DDIM", "nearer to the data"), "off": ("DDIM off", "nearer to the ODE")}


def _nearer(arm, metric="distance"):
    first, text = _FIRST[metric]
    text = f"{arm}: {text} than its first teacher in as many"
    return _claim(text, "FD(N) ≪ FD(DDIM, N)", metric, arm, (arm, first))


CLAIMS = [
    *(_within("digits: v", steps) for steps in (64, 32, 16, 8, 4)),
    *(_within("digits: x_0", steps) for steps in (8, 4)),
    *(_nearer(_arm(f"digits: {kind}", steps)) for kind in ("v", "x_0") for steps in _FEW),
    *(
        _nearer(_arm(f"{place}: {kind}", steps), "off")
        for place in ("digits", "ring") for kind in ("v", "x_0") for steps in _FEW
    ),
    *(
        _claim(
            f"{place}: eps, {steps}: more than {_MOST} times as far as its teacher", "eps breaks",
            "ratio", _BAR, _arm(f"{place}: eps", steps),
        )
        for place in ("digits", "ring") for steps in (4, 2, 1)
    ),
    *(
        _claim(
            f"{place}: in one call v is nearer to the data than eps", "eps breaks",
            "distance", _arm(f"{place}: v", 1), _arm(f"{place}: eps", 1),
        )
        for place in ("digits", "ring")
    ),
    *(
        _claim(
            f"guided, w = {weight:g}: 16 calls are within {_MOST} of guidance's 32", "one call for two",
            "ratio", _arm(_DETERMINISTIC, 16, weight), _BAR,
        )
        for weight in _WEIGHTS
    ),
    *(_nearer(_arm(_DETERMINISTIC, steps, 1)) for steps in _FEW),
    *(
        _claim(
            f"guided, {steps}: w = 1 is of the class asked for more often than w = 0", "w says how much",
            "class", _arm(_DETERMINISTIC, steps, 0), _arm(_DETERMINISTIC, steps, 1),
        )
        for steps in _FEW
    ),
    *(
        _claim(
            f"guided, w = 1, {steps} calls: the stochastic sampler is nearer to the data", "–",
            "distance", _arm(_STOCHASTIC, steps, 1), _arm(_DETERMINISTIC, steps, 1),
        )
        for steps in _FEW[:-1]
    ),
]  # fmt: skip
REMARKS = """
- The bar that this project set itself holds: students of v on digits are 1.01 to 1.03 times as far from the
  data as their teachers in twice the steps, from 64 down to 2, and 1.09 times in one step: 0.82 of the floor
  in one call, where the first teacher's 128 are at 0.67. Seven halvings come to 1.2 times.
- Beside the first teacher's DDIM in as many steps one call gains most (0.82 against 9.9), two and four still
  do (0.76 against 2.0, 0.75 against 0.96), and eight do not: 8 and 16 steps of the first teacher are nearer
  to the data (0.61, 0.57) than its 128 are, and surer of the class. A student follows the 128 and not the
  data: from the same noise it is two and a half to three times as near to where these go (0.139 a pixel
  against 0.342 in one step, 0.021 against 0.064 in eight).
- Networks of x_0 distil as well (1.02 to 1.04 times their teachers), from a first teacher that is farther,
  1.73 in 16 steps: its 8 and 4 steps are nearer to the data, so that its students gain only in two and one.
- Networks of eps break on digits: 1.4, 1.5, 1.7 and 2.2 times as far as their teachers in 8, 4, 2 and 1
  steps, 22 times the floor and 38 % of the class in one call. That is with alpha at 0.08 where sampling
  begins; a teacher of a schedule cut at log SNR -10, where alpha is 0.007, is 14 times the floor away in 128
  steps already (one seed, 4,000 steps of training). On the ring, where eps has two numbers and not 64, it
  distils nearly as well as v down to two steps, and breaks in one (1.4 times, points between the modes).
- Guidance: one network that takes w does in 16 calls what guidance did in 32, at w = 1 even nearer to the
  data; at w = 0, where 16 of the teacher's are enough, it is 1.11 times as far, too spread for the rule. Its
  students hold down to 4 calls and pay in the last two halvings: at w = 1 2.2 and 4.2 times the floor,
  where the guided teacher is at 3.7 in four calls and 10.8 in two. At w = 0 one call is 2.2, where plain
  students are at 0.82; all weights of [0, 4] share one network and the same 500 steps.
- w raises the share of the class (0.976 to 1.000 in 8 calls, 0.997 to 1.000 in one) and the distance, as
  guidance does.
- The stochastic sampler has no rule: in four calls it is nearer to the data than the deterministic students
  at w = 1, in eight farther, and in two, the student of one step twice, it loses the class of one in fifty
  at w = 1 and of one in fourteen at w = 0.
- Left out for want of time: first teachers of 256 steps, other weightings of the students' loss (1 + SNR),
  and longer chains than from 8 for all but v.
"""
REMARKS_OF = "9aa081bd20bc"
CAPTION = """
Above, left and middle: students in N network calls (solid) beside DDIM of their first teacher in as many
(dashed): on digits the distance to the data, on the ring how far points are from where the exact ODE takes
the same noise. Right: each student's distance over that of the teacher that it learned from, and the bar.
Below: students that take the guidance weight beside the guided teacher, at equal calls. To look at: how flat
the solid curves of v and x_0 are where the dashed ones rise, that those of eps on digits are not, and what
the last halving costs the guided students.
"""


def figure(path, results):
    drawn, axes = drawing.panels(2, 3, 13, 7.6)
    _beside_first(axes[0, 0], results, "digits", "distance")
    axes[0, 0].set(title="digits: distance to the data", ylabel="Fréchet distance / its floor")
    drawing.log(axes[0, 0], [1, 2, 4, 8, 16, 32, 64], [0.5, 1, 2, 5, 10, 20, 50])
    _beside_first(axes[0, 1], results, "ring", "off")
    axes[0, 1].set(title="ring: distance from the exact map", ylabel="RMS error of a coordinate")
    drawing.log(axes[0, 1], [1, 2, 4, 8], [0.01, 0.1, 1])
    _beside_teacher(axes[0, 2], results)
    axes[0, 2].set(title="digits: beside its teacher", ylabel="distance / its teacher's in 2N steps")
    drawing.log(axes[0, 2], [1, 2, 4, 8, 16, 32, 64], [1, 1.15, 1.5, 2])
    for axis in axes[0]:
        axis.set_xlabel("steps N, a network call each")
    for axis, weight in zip(axes[1], _WEIGHTS):
        _guided_of(axis, results, weight)
        axis.set(title=f"digits, guided with w = {weight:g}", xlabel="network calls")
        axis.set_ylabel("Fréchet distance / its floor")
        drawing.log(axis, [1, 2, 4, 8, 16, 32], [0.5, 1, 2, 5, 10, 20])
    for axis in axes.ravel():
        axis.grid(alpha=0.3)
    drawing.save(drawn, path, 3, drawing.SPREAD)


def _beside_first(axis, results, place, metric):
    for kind, color in _COLORS.items():
        steps = CHAINS[f"{place}: {kind}"].steps()
        arms = [_arm(f"{place}: {kind}", each) for each in steps]
        students, first = (drawing.values(results, arms, [each]) for each in (metric, _FIRST[metric][0]))
        drawing.curve(axis, steps, students, f"students, network of {kind}", color)
        drawing.curve(
            axis, steps, first, f"DDIM of their first teacher, {kind}", color, linestyle="--", marker="x"
        )


def _beside_teacher(axis, results):
    for kind, color in _COLORS.items():
        steps = CHAINS[f"digits: {kind}"].steps()
        arms = [_arm(f"digits: {kind}", each) for each in steps]
        drawing.curve(
            axis, steps, drawing.values(results, arms, ["ratio"]), f"students, network of {kind}", color
        )
    drawing.level(axis, drawing.values(results, [_BAR], ["ratio"]), f"{_MOST} times its teacher's distance")


def _guided_of(axis, results, weight):
    first = (16, *_FEW)
    for calls, arms, metric, label, look in (
        (_FEW, [_arm(_DETERMINISTIC, n, weight) for n in _FEW], "distance", "guided students",
         {"color": "C1"}),
        (_FEW[:-1], [_arm(_STOCHASTIC, n, weight) for n in _FEW[:-1]], "distance",
         "guided students, stochastic", {"color": "C5"}),
        ([2 * n for n in first], [_arm(_DETERMINISTIC, n, weight) for n in first], "DDIM",
         "DDIM of the guided teacher", {"color": "k", "linestyle": "--", "marker": "x"}),
    ):  # fmt: skip
        drawing.curve(axis, calls, drawing.values(results, arms, [metric]), label, **look)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
