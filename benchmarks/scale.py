"""What full-size configs need on a pod, from shapes alone: `python -m benchmarks.scale` (`make scale`).

Each config's training step is traced and lowered for a mesh of 256 virtual devices, in a process of its own:
no array is made and nothing is compiled. Prints, and writes to `--out`, a Markdown table of parameters,
operations a step, bytes of the training state on a device under each sharding, and an estimate of the most
that a device holds beside what a TPU v5e (16 GB) and an H100 (80 GB) have. Under FSDP that is the state's
share and everything else, with the parameters whole, as they are while losses are computed.

The estimate walks the step's program for one device's rows (`peak`): what is alive at each operation, where
chains of elementwise operations leave nothing behind. `python -m benchmarks.scale --check` compares it with
what the compiler says of small networks, on one device and split over eight; `--one=CONFIG --tpus=v5e:16x16`
asks the compiler of TPUs (the package `libtpu`, and no TPU).
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from diffjax import commands, configs, systems
from diffjax.training import cost, sharding, tracing
from diffjax.training import step as steps

DEVICES = 256
FOLDERS = ("cifar10", "imagenet64", "imagenet256", "imagenet256_cascade", "laion", "imagen", "unclip")
MEMORY = {"v5e": 16e9, "H100": 80e9}
_COLLECTIVES = r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
_FUSED = frozenset(  # primitives whose output its reader computes on the way
    (
        *("add", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square", "integer_pow", "pow"),
        *("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sqrt", "rsqrt", "erf", "erf_inv"),
        *("sin", "cos", "floor", "clamp", "rem", "is_finite", "select_n", "add_any", "stop_gradient"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "xor", "shift_left", "iota", "copy"),
        *("shift_right_logical", "convert_element_type", "bitcast_convert_type", "broadcast_in_dim"),
        *("reshape", "squeeze", "expand_dims", "transpose", "slice"),
    )
)


def step_of(config, devices, rows, mesh=None):
    """Return the step of a config traced for some rows, and the shapes of its state.

    Args:
      config: ConfigDict.
      devices: that it is split over: how many, or which.
      rows: of one batch.
      mesh: sizes of the mesh's axes; None: all devices along `fsdp`.
    """
    system = systems.build(config)
    chips = jax.devices()[:devices] if isinstance(devices, int) else devices
    mesh = sharding.make_mesh(**(mesh or {"fsdp": len(chips)}), devices=chips)
    rows *= steps.rows_a_step(system)
    of = lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype)
    batch = sharding.described(mesh, jax.tree.map(of, dict(system.example)), sharding.rows)
    frozen = sharding.described(mesh, dict(system.frozen), sharding.by_layer(mesh))
    traced = tracing.trace(
        system, systems.make_optimizer(config, system), batch, frozen, mesh=mesh,
        ema_decay=systems.make_ema(config),
    )  # fmt: skip
    return traced.step.trace(traced.state, frozen, jax.random.key(0), batch), traced.state, frozen


def bytes_on_a_device(tree):
    """Return the bytes that each device holds of a tree of shapes with their places."""
    held = lambda leaf: math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    return sum(map(held, jax.tree.leaves(tree)))


def peak(program: Jaxpr | ClosedJaxpr) -> float:
    """Return the most bytes that are alive at once while a program runs operation by operation.

    An argument dies with its last use, and so does what was computed. A chain of elementwise operations that
    has one reader is part of that reader, as compilers fuse it.

    Args:
      program: a jaxpr of one device's arrays.
    """
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    uses: dict = {}
    for equation in jaxpr.eqns:
        for var in _variables(equation.invars):
            uses[var] = uses.get(var, 0) + 1
    kept = set(_variables(jaxpr.outvars))
    roots: dict = {var: (var,) for var in (*jaxpr.invars, *jaxpr.constvars)}
    last, made = {}, []
    for i, equation in enumerate(jaxpr.eqns):
        read = tuple({root for var in _variables(equation.invars) for root in roots[var]})
        last.update(dict.fromkeys(read, i))
        own = []
        for var in equation.outvars:
            fused = equation.primitive.name in _FUSED and uses.get(var, 0) == 1 and var not in kept
            roots[var] = read if fused else (var,)
            own += [] if fused else [var]
        made.append(own)
    stays = {root for var in kept for root in roots[var]}
    alive = float(sum(_bytes(var) for var in roots if roots[var] == (var,) and var in _set(jaxpr)))
    most, dying = alive, {}
    for root, i in last.items():
        dying.setdefault(i, []).append(root)
    for i, equation in enumerate(jaxpr.eqns):
        inner = [
            peak(each) - _inputs(each) for value in equation.params.values() for each in cost.programs(value)
        ]
        most = max(most, alive + max(inner, default=0.0))
        alive += sum(map(_bytes, made[i]))
        most = max(most, alive)
        alive -= sum(_bytes(root) for root in dying.get(i, ()) if root not in stays)
        alive -= sum(_bytes(var) for var in made[i] if var not in last and var not in stays)
    return most


def _set(jaxpr):
    return {*jaxpr.invars, *jaxpr.constvars}


def _variables(found):
    return [var for var in found if not isinstance(var, Literal)]


def _inputs(program):
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    return sum(map(_bytes, _set(jaxpr)))


def _bytes(var):
    shape, dtype = getattr(var.aval, "shape", ()), getattr(var.aval, "dtype", None)
    return math.prod(shape) * getattr(dtype, "itemsize", 4)


def of(config, devices=DEVICES):
    """Return what a config's step needs on a pod, as JSON data."""
    rows = -(-config.training.batch_size // devices)
    program, state, frozen = step_of(config, devices, rows * devices)
    lowered = program.lower()
    assert f"num_partitions = {devices}" in lowered.as_text()[:500]
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    alone, whole, whole_frozen = step_of(config, 1, rows)
    replicated = bytes_on_a_device((whole, whole_frozen))
    split = bytes_on_a_device((state, frozen))
    most, gathered = peak(alone.jaxpr), bytes_on_a_device(whole.params)
    return {
        "parameters": parameters,
        "rows": rows * devices,
        "flops": cost.flops(program.jaxpr),
        "replicated": replicated,
        "fsdp": split,
        "peak_replicated": most,
        "peak_fsdp": most - replicated + split + gathered,
    }


def check():
    """Return bytes by the estimate and by the compiler: of the digits' step, and of two split over eight."""
    digits, points = (
        commands.config_module(f"configs/{name}/ddpm.py").get_config() for name in ("digits", "toys")
    )
    program, _, _ = step_of(digits, 1, digits.training.batch_size)
    found = {"peak": peak(program.jaxpr), "compiler": _needed(program)}
    digits.model.model_channels, points.model.width, points.model.depth = 96, 1024, 6
    for name, config in (("unet", digits), ("mlp", points)):
        config.training.batch_size = 64
        wanted = of(config, devices=8)
        compiled = {axis: _needed(step_of(config, 8, 64, {axis: 8})[0]) for axis in ("data", "fsdp")}
        found[name] = {**wanted, "compiler_replicated": compiled["data"], "compiler_fsdp": compiled["fsdp"]}
    return found


def of_tpus(config, topology):
    """Return what the compiler of TPUs says that each device needs, and how often devices talk, as JSON data.

    Args:
      config: of any size; the compiler takes minutes.
      topology: such as "v5e:16x16", for which the package `libtpu` is enough.

    Returns:
      {"data": ..., "fsdp": ...}, each {"arguments": bytes, "most": bytes at once, "collectives": by kind}.
    """
    from jax.experimental import topologies

    chips = topologies.get_topology_desc(topology, "tpu").devices
    rows = -(-config.training.batch_size // len(chips)) * len(chips)
    found = {}
    for axis in ("data", "fsdp"):
        compiled = step_of(config, chips, rows, {axis: len(chips)})[0].lower().compile()
        needed, talk = compiled.memory_analysis(), Counter(re.findall(_COLLECTIVES, compiled.as_text()))
        bytes_of = {"arguments": needed.argument_size_in_bytes, "most": needed.peak_memory_in_bytes}
        found[axis] = {**bytes_of, "collectives": talk}
    return found


def _needed(program):
    return cost.memory(program.lower().compile()).total


def files():
    """Return the configs of full size that are trained."""
    root = Path(configs.__file__).parent
    found = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.py"))]
    found = [path for path in found if path.name not in ("__init__.py", "common.py")]
    return [f"configs/{path.relative_to(root)}" for path in found if "stages" not in config_of(path)]


def config_of(path):
    return commands.config_module(path).get_config()


def table(found):
    """Return the Markdown of {config: what `of` returns, or what went wrong}."""
    lines = [
        "| config | parameters | images a step | operations a step | state, all on each | bytes a parameter "
        "| state, FSDP | most, all on each | most, FSDP | fits |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, about in found.items():
        if "error" in about:
            lines.append(f"| {name} | {about['error']} |" + " |" * 8)
            continue
        gb = lambda key, about=about: f"{about[key] / 1e9:.2f} GB"
        fits = {way: [name for name, size in MEMORY.items() if about[f"peak_{way}"] <= size] for way in _WAYS}
        told = ", ".join(
            f"{name} ({'either' if name in fits['replicated'] else 'FSDP'})"
            for name in MEMORY
            if name in fits["replicated"] + fits["fsdp"]
        )
        lines.append(
            f"| {name} | {about['parameters'] / 1e6:.1f} M | {about['rows']} | {about['flops']:.2e} | "
            f"{gb('replicated')} | {about['replicated'] / about['parameters']:.1f} | {gb('fsdp')} | "
            f"{gb('peak_replicated')} | {gb('peak_fsdp')} | {told or 'neither'} |"
        )
    return "\n".join(lines) + "\n"


_WAYS = ("replicated", "fsdp")


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("scale.md"))
    parser.add_argument("--one", help="a config, whose numbers are printed as a line of JSON")
    parser.add_argument("--tpus", help="topology such as v5e:16x16: by the compiler of TPUs")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        jax.config.update("jax_num_cpu_devices", 8)
    if options.one and options.tpus:
        print(json.dumps(of_tpus(config_of(options.one), options.tpus)))
        return
    if options.one or options.check:
        print(json.dumps(of(config_of(options.one)) if options.one else check()))
        return
    kept = options.out.with_suffix(".json")
    found = json.loads(kept.read_text()) if kept.exists() else {}
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(DEVICES), "JAX_PLATFORMS": "cpu"}
    for file in files():
        name = file.removeprefix("configs/")
        if name not in found or "error" in found[name]:
            command = [sys.executable, "-m", "benchmarks.scale", f"--one={file}"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]
            found[name] = json.loads(last) if done.returncode == 0 else {"error": last}
            kept.write_text(json.dumps(found, indent=2) + "\n")
            print(name, found[name], flush=True)
    options.out.write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
