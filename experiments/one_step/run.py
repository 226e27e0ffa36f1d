"""One call (three equations of a flow map, by the data or by a teacher, and distribution matching)

"ring": of the eight Gaussians the map of the probability-flow ODE from noise to data is known. An average
velocity u learns it by three equations (Boffi et al. 2024, arXiv:2406.07507): dX/dt = 0 along the
trajectory (Eulerian; MeanFlow, Geng et al. 2025, with the tangent of the predicted velocity), dX/ds = v(X,
s) (Lagrangian), and that two hops are one (semigroup; shortcut models, Frans et al. 2024), each with the
velocity of the data or of a trained teacher (`configs/toys/flow.py`). "weighted" is Eulerian with the
papers' weight of power 1. An MLP of 3 x 128 units, 3,000 steps of 256 points, rectified flow. "error" is
the root mean square distance of one jump of 1,000 points from where the exact ODE takes them, in float64;
"floors" the sliced Wasserstein distance of 5,400 samples over that of as many fresh points, "TV" how far
the shares of the modes are off (total variation), after 1, 2 and 4 calls. "ms" is processor time of a step
of training.

"digits": scikit-learn's, 8x8, an MLP of 3 x 256 units that is told the class, and one teacher a seed
(`configs/digits/teacher.py`, a network of v on the cosine schedule). The three equations are those of the
ring on the teacher's schedule, 3,000 steps of 128; DMD2 (Yin et al. 2024) is
`configs/digits/distribution_matching.py`. "class" is the share of 1,437 samples of the class asked for, by
a judge trained on real digits alone, "floors" the Fréchet distance to the training set over that between
its halves, after 1, 2, 4 and 8 calls; DMD2 was taught one. Progressive distillation and consistency models,
from the same teacher, have studies of their own.
"""

import sys

from experiments import drawing, study
from experiments.one_step import digits, ring

TEACHERS = {**ring.TEACHERS, **digits.TEACHERS}
DATA, BAR = "digits: held-out digits", "digits: bar"
ARMS = {
    **{f"ring: {name}": config for name, config in ring.arms().items()},
    **{f"digits: {name}": config for name, config in digits.arms().items()},
    DATA: None,
    BAR: None,
}
_RULES = tuple(ring.RULES)


def _claim(text, paper, less, more, metric):
    return study.Claim(text, paper, (less, metric), (more, metric))


CLAIMS = [
    *(
        _claim(f"ring: {rule}, a teacher's velocity teaches better than the data's", "–",
               f"ring: {rule}, teacher", f"ring: {rule}, data", "error")
        for rule in _RULES
    ),
    _claim("ring: of a teacher, the Lagrangian equation is learned better than the Eulerian",
           "–", "ring: Lagrangian, teacher", "ring: Eulerian, teacher", "error"),
    _claim("ring: of the data, MeanFlow beats shortcuts in one call", "FID 3.43, 10.60",
           "ring: Eulerian, data", "ring: semigroup, data", "error"),
    _claim("ring: the weight moves the modes' shares", "–",
           "ring: Eulerian, data", f"ring: {ring.WEIGHTED}, data", "TV, 1"),
    _claim("digits: of a teacher, the Lagrangian equation is learned better than the Eulerian",
           "–", "digits: Lagrangian, teacher", "digits: Eulerian, teacher", "floors, 1"),
    _claim("digits: of the data, MeanFlow beats shortcuts in one call", "FID 3.43, 10.60",
           "digits: Eulerian, data", "digits: semigroup, data", "floors, 1"),
    *(
        claim
        for name in digits.arms()
        if name != digits.PLAIN
        for claim in (
            _claim(f"{name}: 95 % of the class in one call", "–", BAR, f"digits: {name}", "class, 1"),
            _claim(f"{name}: within three floors in one call", "–", f"digits: {name}", BAR, "floors, 1"),
        )
    ),
]  # fmt: skip
REMARKS = """
- On the ring a teacher's velocity teaches each equation better than the data's, whose velocity is one draw of
  many, most of all the Lagrangian one, which follows it at points that the network itself reaches: 0.098 with
  a teacher, the best of all, and 0.199 without, where the network must follow its own velocity. Of a teacher
  the order is Lagrangian, semigroup, Eulerian (0.098, 0.115, 0.143), of the data semigroup, Eulerian,
  Lagrangian (0.155, 0.174, 0.199). In one call the best is 1.5 floors from the data, in four 1.1.
- On digits the order is another: Eulerian first, and MeanFlow of the data alone, 96 % of the class at 1.7
  floors in one call, before any that the teacher taught, whose own walk of 64 steps is right on 96 %, too.
  The Lagrangian equation of a teacher is 3.5 floors away, in two calls 2.5.
- Shortcuts are far behind on digits, and ahead on the ring. Their hops are learned from the finest up, each
  from the one below: 3,000 steps are few for seven of them in 64 dimensions. They gain most by more calls
  (of the data 15.6, 10.8, 7.8, 6.4 floors in 1, 2, 4, 8).
- Distribution matching is right most often in one call, 98.4 %, at 2.4 floors, after 1,000 steps, each of
  which moves six times: it makes no map, and what it makes may lack variety that the distance counts.
- Both bars of one call, 95 % and three floors, are cleared by DMD2 beyond the spread; MeanFlow clears the
  second, and the first by its mean (0.961), within twice the spread.
- The weight of power 1 moves the optimum: the shares of the modes are off by 0.13 and not 0.03, and more
  calls do not mend it (0.17 in four), as the velocity itself is learned wrong. Nothing else differs here.
- A step costs 7 to 10 ms: the Lagrangian one, with a tangent of which the gradient is taken, the most.
"""
REMARKS_OF = "9793d4c86951"
CAPTION = """
Left: how far one jump of the ring's map is from the exact one, by the equation that was learned and by who
said the velocity. Middle and right: digits in one call and in four, how often they are of the class asked
for and how far from the data; the dotted line is where held-out digits are. Large marks are means, strokes
the three seeds. To look at: which ways are near the line in ONE call, and which gain by more.
"""


def trained(config, seed, out):
    """Train an arm of digits, or one of the ring with what its step costs."""
    if config.data.name == "digits":
        return digits.trained(config, seed, out)
    return ring.trained(config, seed, out)


def measure(name, config, variables, seed):
    place, _, arm = name.partition(": ")
    if name == BAR:
        return {"class, 1": 0.95, "floors, 1": 3.0}
    if name == DATA:
        return digits.of_data()
    if place == "ring":
        own, found = variables
        return ring.measure(own, found, seed)
    return digits.measure(arm, variables, seed)


def figure(path, results):
    drawn, (axes,) = drawing.panels(1, 3, 15, 5)
    names = [name for name in results if name.startswith("ring")]
    drawing.dots(axes[0], range(len(names)), drawing.values(results, names, ["error"]), "one call", "C0")
    drawing.titled_rows(axes[:1], [name.removeprefix("ring: ") for name in names])
    drawing.log(axes[0], (0.05, 0.1, 0.2, 0.5))
    axes[0].set(title="ring", xlabel="one jump: distance from the exact one (radius 1)")
    names = [name for name in results if name.startswith("digits") and name not in (DATA, BAR)]
    for axis, metric in zip(axes[1:], ("class", "floors")):
        for calls, color, marker in ((1, "C0", "o"), (4, "C1", "s")):
            rows = [row for row, name in enumerate(names) if f"{metric}, {calls}" in results[name][0]]
            found = drawing.values(results, [names[row] for row in rows], [f"{metric}, {calls}"])
            drawing.dots(axis, rows, found, "one call" if calls == 1 else f"{calls} calls", color, marker)
        drawing.titled_rows([axis], [name.removeprefix("digits: ") for name in names])
        drawing.floor(axis, drawing.values(results, [DATA], [f"{metric}, 1"]), "held-out digits")
    axes[1].set(title="digits", xlabel="share of the class asked for")
    drawing.log(axes[2], (0.5, 1, 2, 3, 5, 10, 20))
    axes[2].set(title="digits", xlabel="Fréchet distance, in floors")
    axes[2].set_yticklabels([])
    drawing.save(drawn, path, 3, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
