"""Quality against network calls (five ways to sample the same trained network)

One VP score model of each data set (configs/digits/vp.py and configs/mnist/vp.py), trained once, is sampled
by the ancestral steps of DDPM, Heun's method on the probability-flow ODE in the schedule's own time, the
predictor-corrector of Song et al. 2021 (arXiv:2011.13456), the Heun method of EDM (Karras et al. 2022,
arXiv:2206.00364) and DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095), each with about the same numbers of
network calls and with its own grid of times. Samples are of the classes asked for, without guidance: 1,437
digits and 500 images of MNIST, whose `mnist.npz` lies in the working directory. The networks are trained, or
found, as runs of `diffjax.train` in the folder `trained` of `--out`, for 1,100 and 2,500 steps.

"distance" is the Frechet distance to the training images (at most 10,000 of them) in the features of a
classifier of real images, "over floor" the same over the distance between halves of those images, "class"
the share of samples that the classifier takes for the class asked for. Bits/dim are of 64 held-out images
under the probability-flow ODE with uniform dequantisation, "± bits" is their standard error: they belong to
the network, whatever samples from it.
"""

import sys
from functools import cache

import jax
import numpy as np

from diffjax import commands, systems, train
from diffjax.commands import references
from diffjax.evaluation import bits, classes, frechet, likelihood
from diffjax.evaluation.dequantiser import UNIFORM
from diffjax.evaluation.evaluator import Bench, Task
from diffjax.rows import spread
from experiments import drawing, study

SEEDS = 1  # the networks are trained once
_CALLS = (10, 20, 50)
_LIKELIHOOD_IMAGES = 64
# one section `config.sampler` each, and the network calls of a step
_SAMPLERS = {
    "ancestral": ({"solver": "ancestral", "grid": "uniform"}, 1),
    "ODE, Heun in t": ({"solver": "heun", "grid": "uniform"}, 2),
    "predictor-corrector": (
        {"solver": "reverse_diffusion", "grid": "uniform", "corrector": {"name": "langevin", "snr": 0.16}},
        2,
    ),
    "EDM Heun": ({"solver": "edm_heun", "grid": "karras"}, 2),
    "DPM-Solver++(2M)": ({"solver": "dpm_solver_pp", "grid": "log_snr"}, 1),
}
_NETWORKS = {
    "digits": study.config_of("digits/vp.py", training={"num_steps": 1100}),
    "MNIST": study.config_of("mnist/vp.py", training={"num_steps": 2500}),
}
_NUM = {"digits": 1437, "MNIST": 500}
_HELD_OUT, _HALVES = "held-out images", "halves of the training images"


def _title(sampler, calls):
    return f"{sampler}, up to {calls} calls"


ARMS = {
    f"{where}: {title}": config
    for where, config in _NETWORKS.items()
    for title in (*(_title(each, calls) for each in _SAMPLERS for calls in _CALLS), _HELD_OUT, _HALVES)
}
CLAIMS = []
REMARKS = """
- On MNIST, where the network has seen 2.7 epochs, ancestral steps beat every deterministic method at every
  budget, in distance and in class: their noise mends some of what an unfinished network gets wrong. On the
  digits, which are learned better, the deterministic methods are nearer to the data and ancestral steps are
  surer of the class.
- The predictor-corrector spends half of its calls on the corrector, and its predictor needs small steps: 25
  of them are few (the paper takes 1,000), 5 or 10 give noise.
- EDM's Heun method with its own grid is bad at 9 calls, whose first steps are the longest of all, and among
  the deterministic methods the best on MNIST from 19 calls on.
- The deterministic methods solve one ODE: what they differ by at 50 calls on MNIST is the error of their
  steps, flat as their curves look by then.
"""
REMARKS_OF = "92ae1139dc75"
CAPTION = """
Above: distance of samples to the training images against network calls a sample; lower is better, the dotted
floor is between halves of the training images, the dashed line where held-out images are. Below: share of
samples of the class asked for, bars are ± one standard error of a share. One network of each data set. To
look at: which sampler is best with 10 calls and with 50, and that the answer differs between a network that
learned its data well, on the left, and one that did not yet.
"""


def trained(config, seed, out):
    """Train a run, or find it done, and load it."""
    folder = out / "trained" / config.data.name
    train.train(config, folder, progress=False)
    return commands.load(folder).variables


def measure(name, config, variables, seed):
    where, _, title = name.partition(": ")
    bench, train_set, held_out = _bench(where)
    if title == _HALVES:
        found = bench.measure(train_set.x, {}, title).metrics
        return {"distance": found["frechet_floor"], "over floor": 1.0}
    if title == _HELD_OUT:
        chosen = held_out.take(_stratified(held_out.label, min(_NUM[where], len(held_out))))
        return _quality(bench, chosen.x, chosen.label, title) | _bits(config, variables, held_out)
    sampler, _, budget = title.removesuffix(" calls").rpartition(", up to ")
    options, calls = _SAMPLERS[sampler]
    steps, num = int(budget) // calls, _NUM[where]
    system = systems.build(commands.overridden(config, {"sampler": options | {"steps": steps}}))
    labels = train_set.label[_stratified(train_set.label, num)]
    x = commands.sample_in_batches(
        system, variables, key=jax.random.key(seed), num=num, batch_size=250, request={"label": labels},
        progress=name,
    ).x  # fmt: skip
    spent = {"steps": steps, "calls": sum(sum(each.calls.values()) for each in system.passes)}
    return spent | _quality(bench, x, labels, title)


@cache
def _bench(where):
    """Return what judges images of a data set, its training images and the held-out ones."""
    config = _NETWORKS[where]
    train_set, held_out = (systems.load_data(config, split) for split in ("train", "test"))
    evaluators = classes.ACCURACY, frechet.EVALUATOR
    task = Task(systems.build(config), None, {"reference": 10_000}, train_set, held_out)
    return Bench(evaluators, references.make(task, config, evaluators, None, True)), train_set, held_out


def _quality(bench, x, labels, title):
    found = bench.measure(x, {"label": labels}, title).metrics
    names = {"frechet": "distance", "frechet_ratio": "over floor", "class_accuracy": "class"}
    return {own: found[name] for name, own in names.items()}


def _bits(config, variables, held_out):
    chosen = held_out.take(spread(_LIKELIHOOD_IMAGES, len(held_out)))
    measure = likelihood.measure(systems.build(config), variables)
    found = bits.measure_bits(measure, (variables, UNIFORM.params), chosen, key=jax.random.key(0))
    return {"bits/dim": found["bits_per_dim"], "± bits": found["standard_error"]}


def _stratified(label, num):
    """Return num indices whose classes are as frequent as in the whole."""
    return np.argsort(label, kind="stable")[spread(num, len(label))]


def figure(path, results):
    drawn, axes = drawing.panels(2, 2, 10, 7.4, sharex=True)
    places = {"digits": "8x8 digits, learned well", "MNIST": "MNIST, 2.7 epochs of training"}
    for (distance, share), (where, title) in zip(axes.T, places.items()):
        for i, sampler in enumerate(_SAMPLERS):
            rows = [results[f"{where}: {_title(sampler, calls)}"][0] for calls in _CALLS]
            x, style = (
                [row["calls"] for row in rows],
                {"marker": "os^Dv"[i], "markersize": 5, "color": f"C{i}"},
            )
            distance.plot(x, [row["distance"] for row in rows], label=sampler, **style)
            right = np.array([row["class"] for row in rows])
            error = 100 * np.sqrt(right * (1 - right) / _NUM[where])
            share.errorbar(x, 100 * right, error, capsize=2, label=sampler, **style)
        real = results[f"{where}: {_HELD_OUT}"][0]
        for axis, value in ((distance, real["distance"]), (share, 100 * real["class"])):
            axis.axhline(value, color="0.4", linestyle="--", linewidth=1.2, label=_HELD_OUT)
        floor = results[f"{where}: {_HALVES}"][0]["distance"]
        distance.axhline(floor, color="k", linestyle=":", linewidth=1.2, label=f"floor: {_HALVES}")
        drawing.log(distance, _CALLS, (0.03, 0.1, 0.3, 1, 3, 10, 30))
        distance.set(title=title, ylabel="Fréchet distance to the training images")
        share.set(xlabel="network calls a sample", ylabel="samples of the class asked for, %", ylim=(0, 102))
    drawing.save(drawn, path, 4)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
