"""Network calls and time of every guided sampler, beside the same sampler without a guide.

    python -m benchmarks.guided            measures and prints the table
    python -m benchmarks.guided --write    puts it into docs/guidance.md too

The networks are those of configs/digits/{ddpm,classifier}.py at their initialisation: what is guided to
where does not matter here. Weights are arguments of the compiled programs, as in the commands: XLA makes
faster ones of weights that it knows, but not within a `lax.cond`. All samplers are compiled first; then they
take turns, one walk each a round, and ratios to the unguided walk are medians over rounds of the ratio within
a round: of wall time, and of processor time, which other programs disturb less.
"""

import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import report, turns
from benchmarks.run import machine
from diffjax import commands, guidance, samplers, systems
from diffjax.guidance.chain import Transformation
from diffjax.process.prediction import Denoiser
from diffjax.samplers.solver import Rows, Solver
from diffjax.systems import read, requests
from diffjax.training.system import Variables
from diffjax.types import Array

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guidance.md"
BEGIN, END = "<!-- table: python -m benchmarks.guided --write -->", "<!-- end of table -->"
STEPS, BATCH = 20, 32


def measure(rounds: int) -> str:
    """Time every sampler in turns: a Markdown table."""
    began, runs = machine(), {name: _run(name) for name in ("ddpm", "classifier")}
    given = {name: variables for name, (_, variables, _) in runs.items()}
    calls = {name: sampler.calls() for name, sampler in _samplers(runs, given).items()}
    walks = {name: jax.jit(functools.partial(_walk, runs, name)) for name in calls}
    key = jax.random.key(0)
    run = lambda walk: jax.block_until_ready(walk(given, key))
    sides = {name: functools.partial(run, walk) for name, walk in walks.items()}
    spent = turns.seconds(sides, rounds, turns.both_clocks)
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {began['cpu']}, {began['cores']} cores, load {began['load_before']} "
        f"before; {STEPS} steps, {BATCH} images, medians of {rounds} rounds.",
        "",
        "| sampler | network calls | wall time | times unguided | processor time, times unguided |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in calls:
        wall, processor = np.median(np.array(spent[name]) / np.array(spent["none"]), 0)
        shown = 1000 * np.median(np.array(spent[name])[:, 0])
        lines.append(f"| {name} | {calls[name]} | {shown:.0f} ms | {wall:.2f} | {processor:.2f} |")
    return "\n".join(lines) + "\n"


def _run(name):
    """Return a system of a config, its variables at the start, and its schedule."""
    config = commands.config_module(ROOT / "configs" / "digits" / f"{name}.py").get_config()
    system = systems.build(config)
    return system, Variables(*system.init(jax.random.key(0), system.example, {})), read.schedule(config)


class Sampler(NamedTuple):
    """A guided denoiser, and how it is walked."""

    denoise: Denoiser
    solver: Solver
    rows: Rows
    guide: Transformation | None
    x: Array
    cond: Any

    def calls(self) -> int:
        """Return how often a walk calls the network."""
        shape = jax.ShapeDtypeStruct(self.x.shape, self.x.dtype)
        return samplers.network_calls(self.solver, self.rows, self.guide, shape, self.cond)

    def walk(self, key: Array) -> Array:
        """Return the samples."""
        guided = self.denoise if self.guide is None else self.guide(self.denoise)
        return samplers.walk(key, guided, self.solver, self.rows, self.x, cond=self.cond)


def _walk(runs, name, given, key):
    return _samplers(runs, given)[name].walk(key)


def _samplers(runs, given):
    """Return {name: Sampler} of the given variables."""
    (own, _, noise), (classifier, _, _) = runs["ddpm"], runs["classifier"]
    v, v_classifier = given["ddpm"], given["classifier"]
    label = jnp.arange(BATCH) % 10
    cond, other = (own.request.encode(v, {"label": each}) for each in (label, label[::-1]))
    null = requests.nothing(own.request, v, {"label": label}, BATCH)
    denoise, times = own.denoiser(v), samplers.grids.make(noise, STEPS, "uniform")
    x = jax.random.normal(jax.random.key(1), (BATCH, *own.example["x"].shape[1:]))
    log_prob = classifier.log_prob(v_classifier)
    slope = guidance.gradient_of(lambda x_t, level, cond: log_prob(x_t, level, label))
    told = lambda guide: lambda denoise: guide(lambda x, level, _=None: denoise(x, level, cond))
    encode = lambda x_t, level: jnp.stack([log_prob(x_t, level, jnp.full(BATCH, i)) for i in (0, 1)], 1)
    middle = float(noise(times[STEPS // 2]).sigma / noise(times[STEPS // 2]).alpha)
    twice = guidance.classifier_free(weight=2.0, null=null)
    half = lambda level: 2.0 * (level.sigma / level.alpha <= middle)
    seen = guidance.resembles_text(encode, jnp.ones((1, 2)))
    alike = guidance.resembles_image(encode, x, key=jax.random.key(2))
    mask = jnp.arange(8) < 4
    known = guidance.inpaint(x, jnp.broadcast_to(mask[:, None, None], (8, 8, 1)))
    measured = lambda method: guidance.linear_inverse(
        guidance.operators.average(2), x[:, ::2, ::2], noise_std=0.1, method=method
    )
    ddim, ancestral = samplers.ddim(), samplers.ancestral()
    guides = {
        "none": (ddim, None),
        "`classifier_free`": (ddim, twice),
        "the same, in an `interval` of half the steps": (ddim, guidance.interval(twice, 0.0, middle)),
        "the same, weight 0 at the other half": (ddim, guidance.classifier_free(weight=half, null=null)),
        "`compose_conditions` of two": (ddim, _composed(cond, other, null)),
        "`autoguidance` by an equal network": (ddim, guidance.autoguidance(denoise, weight=2.0)),
        "`rescale`": (ddim, guidance.rescale(twice, 0.7)),
        "`apg`": (ddim, guidance.apg(weight=2.0, null=null)),
        "`cfg_plus_plus`": (ddim, guidance.cfg_plus_plus(0.5, null=null)),
        "`clip`": (ddim, guidance.clip()),
        "`dynamic_threshold`": (ddim, guidance.dynamic_threshold()),
        "`classifier`": (ddim, told(guidance.classifier(slope, 2.0))),
        "`classifier(of_x0=True)`": (ddim, told(guidance.classifier(slope, 2.0, of_x0=True))),
        "`semantic`, text": (ddim, told(guidance.semantic([(1.0, seen)]))),
        "`semantic`, text and image": (ddim, told(guidance.semantic([(1.0, seen), (1.0, alike)]))),
        "`inpaint`": (ddim, known),
        "`linear_inverse`, PiGDM": (ddim, told(measured("pigdm"))),
        "`linear_inverse`, DPS": (ddim, told(measured("dps"))),
        "`ancestral`": (ancestral, None),
        "`ancestral(mean_shift=...)`": (samplers.ancestral(mean_shift=slope), None),
        "`repaint`, 4 resamplings of 5 steps": (samplers.repaint(ancestral, 5, 4), known),
    }
    plan = functools.partial(samplers.plan, noise)
    made = {
        name: Sampler(denoise, solver, plan(solver, times), guide, x, cond)
        for name, (solver, guide) in guides.items()
    }
    shorter = plan(ddim, samplers.times_from(times, 0.5))
    made["SDEdit, strength 0.5"] = Sampler(denoise, ddim, shorter, None, x, cond)
    return made


def _composed(cond, other, null):
    guide = guidance.compose_conditions([2.0, 1.0], null=null)
    return lambda denoise: lambda x, level, _=None: guide(denoise)(x, level, [cond, other])


if __name__ == "__main__":
    report.command(__doc__, PAGE, BEGIN, END, measure)
