"""Time and memory of a training step of every few-step model, beside plain denoising of the same network.

    python -m benchmarks.few_steps            measures and prints the table
    python -m benchmarks.few_steps --write    puts it into docs/few_steps.md too

The configs are those of configs/digits, all with the U-Net of its ddpm.py and without dropout; models of two
times are told the second as well. A teacher is such a network at its initialisation: what it says does not
matter here. All steps are compiled first, on one device; then they take turns, and ratios to plain denoising
are medians over rounds of the ratio within a round: of wall time, and of processor time, which other programs
disturb less. Memory is the compiler's: what a step needs besides its arguments and results, and what the
state and the teacher are.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import report, scale, turns
from benchmarks.run import machine
from diffjax import commands
from diffjax.configs.digits import common
from diffjax.train import train
from diffjax.training import cost

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "few_steps.md"
BEGIN, END = "<!-- table: python -m benchmarks.few_steps --write -->", "<!-- end of table -->"
BATCH = 32


class Arm(NamedTuple):
    """What is trained.

    Attributes:
      title: in the table.
      file: of configs/digits.
      changes: of the config, by dotted key; None for what goes.
      alone: without a teacher.
    """

    title: str
    file: str
    changes: Mapping[str, Any] = MappingProxyType({})
    alone: bool = False


_NO_WEIGHT = {"objective.improved": None, "objective.power": None}  # these are of MeanFlow
ARMS = (
    Arm("plain denoising", "teacher"),
    Arm("progressive distillation", "progressive"),
    Arm("consistency distillation, Heun", "consistency"),
    Arm("the same, Euler", "consistency", {"objective.solver": "euler"}),
    Arm("consistency tuning (ECT)", "consistency", {"objective.tangent": "data", "objective.solver": None}),
    Arm("sCM, distilled", "continuous_consistency"),
    Arm("sCM, from data", "continuous_consistency", {"objective.tangent": "data"}),
    Arm("MeanFlow", "mean_flow", {"objective.improved": False}, alone=True),
    Arm("MeanFlow, improved", "mean_flow", alone=True),
    Arm("Lagrangian", "mean_flow", {"objective.rule": "lagrangian", **_NO_WEIGHT}, alone=True),
    Arm("shortcut", "mean_flow", {"objective.rule": "semigroup", **_NO_WEIGHT}, alone=True),
    Arm("DMD2, five updates of the fake", "distribution_matching"),
)


def config_of(arm: Arm, teacher: Path | None = None):
    """Return an arm's config on the one network."""
    config = commands.config_module(f"configs/digits/{arm.file}.py").get_config()
    if arm.alone or arm.file == "teacher":
        times = {"times": 2, "time_scale": config.model.time_scale} if arm.alone else {}
        config.model = common.unet(dropout=0.0, **times)
    else:
        config.teacher.workdir = str(teacher)
    with config.unlocked():
        for key, value in arm.changes.items():
            section, name = key.split(".")
            if value is None:
                del config[section][name]
            else:
                config[section][name] = value
    config.training.batch_size = BATCH
    return config


def measure(rounds: int) -> str:
    """Time a step of every arm in turns: a Markdown table."""
    began = machine()
    with tempfile.TemporaryDirectory() as folder:
        teacher = Path(folder) / "teacher"
        config = config_of(ARMS[0])
        config.training.update({"num_steps": 1, "sample_every": 1, "checkpoint_every": 1, "log_every": 1})
        config.optimizer.update({"schedule": "constant", "warmup_steps": 0})
        train(config, teacher, progress=False)
        steps = [_Step(config_of(arm, teacher)) for arm in ARMS]
    sides = {arm.title: step.run for arm, step in zip(ARMS, steps, strict=True)}
    spent = np.array(list(turns.seconds(sides, rounds, turns.both_clocks).values()))
    ratios = np.median(spent / spent[:1], 1)
    milliseconds, megabytes = 1e3 * np.median(spent[0, :, 1]), steps[0].scratch / 1e6
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {began['cpu']}, {began['cores']} cores, load {began['load_before']}"
        f" before; {BATCH} pictures a step on one device, medians of {rounds} rounds. Plain denoising takes"
        f" {milliseconds:.0f} ms of processor and {megabytes:.0f} MB; the others are told in times that.",
        "",
        "| | wall time | processor time | memory | state, MB | teacher, MB | compilation, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for arm, step, (wall, processor) in zip(ARMS, steps, ratios, strict=True):
        lines.append(
            f"| {arm.title} | {wall:.2f} | {processor:.2f} | {step.scratch / steps[0].scratch:.2f}"
            f" | {step.state_bytes / 1e6:.1f} | {step.teacher_bytes / 1e6:.1f} | {step.compilation:.0f} |"
        )
    return "\n".join(lines) + "\n"


class _Step:
    """A compiled step with its state."""

    def __init__(self, config):
        program, state, frozen = scale.step_of(config, 1, BATCH)
        self.state_bytes, self.teacher_bytes = map(scale.bytes_on_a_device, (state, frozen))
        began = time.perf_counter()
        self.compiled = program.lower().compile()
        self.compilation = time.perf_counter() - began
        self.scratch = cost.memory(self.compiled).scratch
        draw = np.random.default_rng(0)
        self.state, *self.given = jax.tree.map(lambda leaf: _drawn(draw, leaf), program.in_avals[0])

    def run(self):
        """Make a step."""
        self.state, measured = self.compiled(self.state, *self.given)
        jax.block_until_ready((self.state, measured))


def _drawn(draw, leaf):
    """Return an array of a shape: of small numbers, or zeros where they count."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.asarray(0.01 * draw.normal(size=leaf.shape) ** 2, leaf.dtype)
    return jnp.zeros(leaf.shape, leaf.dtype)


if __name__ == "__main__":
    report.command(__doc__, PAGE, BEGIN, END, measure)
