"""Time and memory of a small U-Net against what makes it larger: `python -m benchmarks.scaling`.

A step of the digits config (its U-Net on pictures of 16x16, 32 a step) is compiled with one thing changed at
a time: the batch, the resolution, the residual blocks a level, the sampler's steps, and the virtual devices
that share a batch of 64. Time is that of the processor, the median of a few runs on one device, which other
programs disturb less than what the clock says; memory is the compiler's: what a
step needs besides its arguments, and for devices all that each holds. Each curve has the power that fits it,
by least squares of the logarithms. Several devices of one processor tell nothing about time.

Writes `--out` (JSON), the figure beside the docs, and prints the tables of docs/training.md.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from benchmarks import scale
from diffjax import commands, systems
from diffjax.commands import sampling
from diffjax.training import cost, sharding
from diffjax.training.system import Variables

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "scaling.png"
AXES = {
    "images a step": (8, 16, 32, 64, 128),
    "resolution": (8, 16, 24, 32),
    "blocks a level": (1, 2, 3, 4),
    "sampling steps": (5, 10, 20, 40),
    "devices": (1, 2, 4, 8),
}
ROUNDS, SHARED = 3, 64
SIZES = {"images": 32, "resolution": 16, "blocks": 1}
LAYOUTS = ("data", "fsdp")  # the axis that the devices are along


def main() -> None:
    """Measure what is not measured yet, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/scaling.json"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for axis, values in AXES.items():
        for value in values:
            for name, measure in _measures(axis, value):
                if value not in [each["value"] for each in found.setdefault(name, [])]:
                    found[name].append({"value": value, **measure()})
                    options.out.write_text(json.dumps(found, indent=1) + "\n")
                    print(name, found[name][-1], flush=True)
    draw(found)
    print(table(found))


def _measures(axis, value):
    if axis == "sampling steps":
        return [(axis, lambda: _walk(value))]
    if axis == "devices":
        return [(f"{axis}, {layout}", lambda layout=layout: _devices(value, layout)) for layout in LAYOUTS]
    sizes = {**SIZES, axis.split()[0]: value}
    return [(axis, lambda: _step(**sizes))]


def config_of(images: int, resolution: int, blocks: int, steps: int = 10):
    """Return the config of the digits with these sizes."""
    config = commands.config_module("configs/digits/ddpm.py").get_config()
    config.data.shape = (resolution, resolution, 1)
    config.model.num_res_blocks = blocks
    config.training.batch_size = images
    config.sampler.steps = steps
    return config


@functools.cache
def _step(**sizes):
    config = config_of(**sizes)
    program, state, frozen = scale.step_of(config, 1, config.training.batch_size)
    compiled = program.lower().compile()
    state, frozen, key, batch = jax.tree.map(_zeros, program.in_avals[0])

    def run():
        nonlocal state
        state, measured = compiled(state, frozen, key, batch)
        jax.block_until_ready((state, measured))

    return {
        "seconds": _timed(run),
        "bytes": cost.memory(compiled).scratch,
        "flops": cost.flops(program.jaxpr),
    }


def _walk(steps):
    config = config_of(**SIZES, steps=steps)
    system, mesh = systems.build(config), sharding.make_mesh(devices=jax.devices()[:1])
    variables = Variables(*system.init(jax.random.key(0), dict(system.example), {}))
    keys, request = jax.random.split(jax.random.key(1), 32), system.request.default(32)
    run = sampling.on_mesh(system.passes[0], mesh)
    compiled = run.lower(variables, keys, request, {}).compile()
    flops = cost.flops(run.trace(variables, keys, request, {}).jaxpr)
    seconds = _timed(lambda: jax.block_until_ready(compiled(variables, keys, request, {})))
    return {"seconds": seconds, "bytes": cost.memory(compiled).scratch, "flops": flops}


def _devices(count, layout):
    config = config_of(**{**SIZES, "images": SHARED})
    program, state, frozen = scale.step_of(config, count, SHARED, {layout: count})
    needed = cost.memory(program.lower().compile())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    held = scale.bytes_on_a_device((state, frozen))
    return {
        "bytes": needed.total, "flops": cost.flops(program.jaxpr) / count, "state": held,
        "a parameter": held / parameters,
    }  # fmt: skip


def _zeros(leaf):
    return (
        jax.random.key(0)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.zeros(leaf.shape, leaf.dtype)
    )


def _timed(run):
    run()
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        run()
        spent.append(time.process_time() - begin)
    return median(spent)


def power(rows, key) -> float:
    """Return the p of `value^p` that fits best, by least squares of the logarithms."""
    x, y = ([float(row[name]) for row in rows] for name in ("value", key))
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def draw(found) -> None:
    """Draw seconds above bytes, a column an axis, each with its power."""
    figure = matplotlib.figure.Figure(figsize=(12, 5), layout="constrained")
    grid = figure.subplots(2, len(AXES), sharex="col")
    for column, axis in zip(grid.T, AXES):
        for key, unit, panel in (("seconds", 1e-3, column[0]), ("bytes", 1e6, column[1])):
            for name, rows in found.items():
                if name.startswith(axis):
                    y = key if key in rows[0] else "flops"  # of devices, whose time says nothing
                    told = name.partition(", ")[2]
                    told = f"{told}: {power(rows, y):+.2f}" if told else f"power {power(rows, y):+.2f}"
                    scaled = [row[y] / (1e9 if y == "flops" else unit) for row in rows]
                    panel.plot([row["value"] for row in rows], scaled, "o-", markersize=4, label=told)
            panel.set(xscale="log", yscale="log")
            panel.legend(fontsize=8, frameon=False)
            panel.minorticks_off()
            ends = sorted(
                {f(each) for each in (line.get_ydata() for line in panel.lines) for f in (min, max)}
            )
            panel.set_yticks(ends, [f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in ends])
        column[0].set_title(
            "operations of a device, 1e9" if axis == "devices" else "processor, ms", fontsize=9
        )
        column[1].set_title(
            "all that a device holds, MB" if axis == "devices" else "memory besides, MB", fontsize=9
        )
        column[1].set_xticks(AXES[axis], list(map(str, AXES[axis])))
        column[1].set_xlabel(axis)
    figure.savefig(FIGURE, dpi=80)


def table(found) -> str:
    """Return the powers, and what devices hold, in Markdown."""
    lines = ["| larger | from, to | time | memory | operations |", "|---|---|---|---|---|"]
    for name, rows in found.items():
        ends = f"{rows[0]['value']}, {rows[-1]['value']}"
        told = [f"{power(rows, key):+.2f}" if key in rows[0] else "" for key in ("seconds", "bytes", "flops")]
        lines.append(f"| {name} | {ends} | {' | '.join(told)} |")
    lines += [
        "",
        "| devices | along | state on each | bytes a parameter | all on each |",
        "|---|---|---|---|---|",
    ]
    for layout in LAYOUTS:
        for row in found[f"devices, {layout}"]:
            mb = lambda key, row=row: f"{row[key] / 1e6:.2f} MB"
            held = f"{mb('state')} | {row['a parameter']:.1f} | {mb('bytes')}"
            lines.append(f"| {row['value']} | `{layout}` | {held} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax.config.update("jax_num_cpu_devices", max(AXES["devices"]))
    main()
