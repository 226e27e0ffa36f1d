"""Quality against network calls (five ways to sample the same trained network)

One VP score model of each data set (configs/digits/vp.py and configs/mnist/vp.py), trained once, is sampled
by the ancestral steps of DDPM, Heun's method on the probability-flow ODE in the schedule's own time, the
predictor-corrector of Song et al. 2021 (arXiv:2011.13456), the Heun method of EDM (Karras et al. 2022,
arXiv:2206.00364) and DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095), each with about the same numbers of
network calls and with its own grid of times. Samples are of the classes asked for, without guidance.

    python -m diffjax.train --config=configs/digits/vp.py --workdir=runs/digits_vp
    python -m diffjax.train --config=configs/mnist/vp.py --workdir=runs/mnist_vp
    python -m diffjax.classifier --config=configs/mnist/vp.py --out=runs/mnist_judge.npz
    python -m experiments.quality_nfe.run --runs=runs/digits_vp,runs/mnist_vp \\
        --features=classifier,classifier:runs/mnist_judge.npz --num=1437,500

"distance" is the Frechet distance to the training images (at most 10,000 of them) in the features of a
classifier of real images, "over floor" the same over the distance between halves of those images, "class"
the share of samples that the classifier takes for the class asked for. Bits/dim are of held-out images under
the probability-flow ODE with uniform dequantisation: they belong to the network, whatever samples from it.
"""

import argparse
import inspect
import json
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from diffjax import commands, systems
from diffjax.evaluation import classifier, likelihood, report
from diffjax.systems import assemble
from diffjax.training import workdir
from experiments.study import ROOT

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


def measure(run: Path, features: str, num: int) -> dict:
    """Sample a run in every way and measure the samples.

    Returns:
      "config", "step", "floor", "likelihood" and "samples": a list of dicts with "sampler" and "steps".
    """
    config = commands.load_config(run)
    params, step = commands.load_params(run, config)
    train, held_out = (systems.load_data(config, split) for split in ("train", "test"))
    path = features.partition(":")[2]
    judging = classifier.load(path) if path else classifier.fit(train, held_out, seed=0)
    judge = report.judge(
        classifier.extractor(judging), judging, train, held_out, np.random.default_rng(0), conditional=True
    )
    labels = train.label[_stratified(train.label, num)]
    rows = []
    for title, (sampler, calls) in _SAMPLERS.items():
        for most in _CALLS:
            other = ConfigDict(config.to_dict())
            other.sampler = ConfigDict(sampler | {"steps": most // calls})
            x, _ = commands.sample_in_batches(
                systems.build(other), params, key=jax.random.key(0), num=num, batch_size=250, labels=labels,
                progress=f"{run.name}, {title}, {most} calls",
            )  # fmt: skip
            row = {"sampler": title, "steps": most // calls, "calls": assemble.network_calls(other)}
            rows.append(row | report.measure_quality(x, labels, judge))
    chosen = np.arange(_LIKELIHOOD_IMAGES) * len(held_out) // _LIKELIHOOD_IMAGES
    bits = likelihood.measure_likelihood(
        assemble.denoiser(config), params, assemble.schedule(config), held_out.x[chosen],
        held_out.label[chosen], key=jax.random.key(0),
    )  # fmt: skip
    real = _stratified(held_out.label, min(num, len(held_out)))
    return {
        "run": run.name, "step": step, "floor": judge.floor, "likelihood": bits, "samples": rows,
        "held_out": report.measure_quality(held_out.x[real], held_out.label[real], judge),
    }  # fmt: skip


def _stratified(label, num):
    """Return num indices whose classes are as frequent as in the whole."""
    return np.argsort(label, kind="stable")[np.arange(num) * len(label) // num]


def figure(path: Path, results: list[dict]) -> None:
    """Draw the distance against network calls, a panel a data set."""
    drawing = Figure(figsize=(4.5 * len(results) + 2.5, 4), layout="constrained")
    for axis, found in zip(drawing.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        for title in _SAMPLERS:
            rows = [row for row in found["samples"] if row["sampler"] == title]
            axis.loglog([row["calls"] for row in rows], [row["frechet"] for row in rows], "o-", label=title)
        held_out = found["held_out"]["frechet"]
        axis.axhline(held_out, color="gray", linestyle="--", label="held-out images")
        axis.axhline(found["floor"], color="k", linestyle=":", label="floor: halves of the training images")
        axis.set(title=found["run"], xlabel="network calls a sample", ylabel="Fréchet distance")
        axis.set_xticks(_CALLS, [str(calls) for calls in _CALLS])
        axis.minorticks_off()
    drawing.legend(*axis.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    drawing.savefig(path, dpi=100)


def page(results: list[dict], remarks: str) -> str:
    """Write the report of the results as Markdown."""
    parts = ["# " + inspect.getdoc(inspect.getmodule(page)), "## Remarks", remarks.strip()]
    for found in results:
        bits, held_out = found["likelihood"], found["held_out"]
        parts += [
            f"## {found['run']}",
            f"After {found['step']:,} training steps; {found['samples'][0]['count']:,} samples each; floor "
            f"{found['floor']:.3g}; {held_out['count']:,} held-out images are at {held_out['frechet']:.3g}. "
            f"{bits['bits_per_dim']:.3f} ± {bits['standard_error']:.3f} bits/dim of {bits['count']} held-out "
            "images.",
            _table(found["samples"]),
        ]
    return "\n\n".join([*parts, "![figure](figure.png)"]) + "\n"


def _table(rows):
    lines = ["| sampler | steps | calls | distance | over floor | class |", "|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(
            f"| {row['sampler']} | {row['steps']} | {row['calls']} | {row['frechet']:.3g} | "
            f"{row['frechet_ratio']:.1f} | {row['class_accuracy']:.1%} |"
        )
    return "\n".join(lines)


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


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.add_argument("--runs", required=True, help="folders of trained runs, with commas between")
    parser.add_argument("--features", required=True, help="classifier or classifier:<file>, one a run")
    parser.add_argument("--num", required=True, help="samples, one number a run")
    parser.add_argument("--report", type=Path, default=ROOT / "experiments/quality_nfe")
    options = parser.parse_args()
    runs, features, num = (value.split(",") for value in (options.runs, options.features, options.num))
    if not len(runs) == len(features) == len(num):
        parser.error("--runs, --features and --num must have as many entries")
    results = []
    for run, feature, count in zip(runs, features, num, strict=True):
        kept = Path(run) / "quality_nfe.json"  # an hour of work on one core: done once a run
        if not kept.is_file():
            workdir.write(kept, json.dumps(measure(Path(run), feature, int(count)), indent=1) + "\n")
        results.append(json.loads(kept.read_text()))
    workdir.write(options.report / "results.json", json.dumps(results, indent=1) + "\n")
    figure(options.report / "figure.png", results)
    workdir.write(options.report / "README.md", page(results, REMARKS))


if __name__ == "__main__":
    main()
