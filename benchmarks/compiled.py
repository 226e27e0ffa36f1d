"""What XLA makes of a training step and of 50 DDIM steps: operations beside a count by hand, and bytes moved.

    python -m benchmarks.compiled        counts all networks and puts the table into the README

By hand means from sizes alone (`by_hand`): each product of a call of the network, three times that for a
step, fifty times for the walk. Traced is what the jaxpr asks for, compiled what stands in XLA's program after
its passes: two operations for each multiply-add of a product or convolution, and a loop as often as it runs.
XLA's `cost_analysis` counts a loop once, and elementwise operations too: the program's text is read instead.
"""

import math
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks import ours, report
from benchmarks.networks import BATCH, DDIM_STEPS, NETWORKS, Network, Transformer
from diffjax.training import cost, sharding
from diffjax.training.system import Variables

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call"}
_TIMES = 256  # sines and cosines of a time that a DiT sees


class Count(NamedTuple):
    """Operations of products and convolutions, and bytes that kernels read and write."""

    flops: float
    bytes: float


class _Instruction(NamedTuple):
    name: str
    shapes: Sequence[tuple[int, tuple[int, ...]]]  # bytes of an element, and sizes
    kind: str
    operands: Sequence[str]
    rest: str


def count(text: str) -> Count:
    """Count what an optimised program does.

    Args:
      text: of `jax.jit(...).lower(...).compile().as_text()`.

    Returns:
      A fusion's products count where they are, its bytes as those of one kernel. A loop whose length the
      program does not know counts once, and of branches the dearest.
    """
    computations, entry = _read(text)

    @cache
    def of(name: str, fused: bool) -> Count:
        instructions = computations[name]
        known = {each.name: each.shapes for each in instructions}
        found = [_one(each, known, fused, of) for each in instructions]
        return Count(sum(each.flops for each in found), sum(each.bytes for each in found))

    return of(entry, False)


def _one(it: _Instruction, known, fused, of) -> Count:
    moved = 0.0
    if not fused and it.kind not in _FREE:
        shapes = (*it.shapes, *(shape for name in it.operands for shape in known.get(name, ())))
        moved = float(sum(size * math.prod(sizes) for size, sizes in shapes))
    inner = lambda key, fused: [
        of(name, fused) for each in re.findall(rf"{key}=\{{?(%[^,}}\s]+(?:, %[^,}}\s]+)*)", it.rest)
        for name in re.findall(r"%([\w.\-]+)", each)
    ]  # fmt: skip
    if it.kind == "dot":
        return Count(_dot(it, known), moved)
    if it.kind == "convolution":
        return Count(_convolution(it, known), moved)
    if it.kind == "while":
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', it.rest)
        turns, (body,) = int(found[1]) if found else 1, inner("body", fused)
        return Count(turns * body.flops, turns * body.bytes)
    if it.kind == "conditional":
        ways = inner("(?:branch_computations|true_computation|false_computation)", fused)
        return max(ways, default=Count(0.0, 0.0))
    if it.kind == "fusion":
        return Count(sum(each.flops for each in inner("calls", True)), moved)
    called = inner("to_apply", fused) if it.kind == "call" else []
    return Count(sum(each.flops for each in called), moved + sum(each.bytes for each in called))


def _dot(it, known):
    (_, left), *_ = known[it.operands[0]]
    summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", it.rest)
    summed = [int(i) for i in summed[1].split(",") if i] if summed else []
    return 2.0 * math.prod(it.shapes[0][1]) * math.prod(left[i] for i in summed)


def _convolution(it, known):
    """As `diffjax.training.cost` counts: zeros put between inputs cost none."""
    (_, kernel), *_ = known[it.operands[1]]
    labels = re.search(r"dim_labels=\w+_(\w+)->", it.rest)[1]
    sums = math.prod(size for size, label in zip(kernel, labels, strict=True) if label != "o")
    between = re.search(r"lhs_dilate=([\dx]+)", it.rest)
    between = math.prod(map(int, between[1].split("x"))) if between else 1
    return 2.0 * math.prod(it.shapes[0][1]) * sums / between


def _read(text):
    """Return the instructions of each computation by its name, and the name of the first."""
    computations, entry, current = {}, None, []
    for line in text.splitlines():
        if begins := _COMPUTATION.match(line):
            current = computations[begins[2]] = []
            entry = begins[2] if begins[1] else entry
        elif found := _INSTRUCTION.match(line):
            name, kind, operation, rest = found.groups()
            operands = re.findall(r"%([\w.\-]+)", rest[: _closing(rest)])
            current.append(_Instruction(name, _shapes(kind), operation, operands, rest))
    return computations, entry


def _closing(rest):
    depth = 1
    for i, sign in enumerate(rest):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return i
    return len(rest)


def _shapes(kind):
    """Return bytes of an element and sizes, of each array of a type such as `(f32[2,3]{1,0}, pred[])`."""
    found = []
    for name, sizes in _SHAPE.findall(kind):
        bits = re.search(r"\d+", name)
        if bits or name == "pred":
            sizes = tuple(int(each) for each in sizes.split(",") if each)
            found.append((int(bits[0]) / 8 if bits else 1, sizes))
    return found


def by_hand(network: Network | Transformer) -> float:
    """Return the operations of one call of a network with a batch, from its sizes."""
    sums = _transformer(network) if isinstance(network, Transformer) else _unet(network)
    return 2.0 * BATCH * sums


def _attention(places, width):
    """Queries, keys, values and output; logits and means."""
    return places * 4 * width**2 + 2 * places**2 * width


def _unet(network):
    first, levels = network.widths[0], len(network.widths)
    told = 4 * first
    places = [(network.size // 2**level) ** 2 for level in range(levels)]

    def block(level, given, made, attends):
        skip = given * made if given != made else 0
        own = places[level] * (9 * given * made + 9 * made**2 + skip) + told * made
        return own + (_attention(places[level], made) if attends else 0)

    total = first * told + told**2 + places[0] * 9 * 2 * network.channels * first
    h, skips, last = first, [first], levels - 1
    for level, width in enumerate(network.widths):
        for _ in range(network.blocks):
            total, h = total + block(level, h, width, level == last), width
            skips.append(h)
        if level < last:
            total += places[level + 1] * 9 * h**2
            skips.append(h)
    total += block(last, h, h, True) + block(last, h, h, False)
    for level, width in reversed(list(enumerate(network.widths))):
        for _ in range(network.blocks + 1):
            total, h = total + block(level, h + skips.pop(), width, level == last), width
        if level:
            total += places[level - 1] * 9 * h**2
    return total


def _transformer(network):
    width, places = network.heads * network.width, (network.size // network.patch) ** 2
    pixels = network.patch**2 * network.channels
    time = _TIMES * width + width**2
    block = time + 6 * width**2 + _attention(places, width) + places * 8 * width**2
    return 2 * places * pixels * width + network.depth * block + 2 * width**2


def programs(network: Network | Transformer):
    """Return {"training step" or "50 DDIM steps": (its trace, the calls of the network that it is worth)}."""
    images, mesh = ours.system(network), sharding.make_mesh(devices=jax.devices()[:1])
    params, extra = jax.eval_shape(images.init, jax.random.key(0), dict(images.example), {})
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(1), BATCH))
    draw = jax.jit(lambda variables, keys: images.sample(variables, keys, {}, BATCH))
    return {
        "training step": (ours.traced_on(network, mesh), 3),
        f"{DDIM_STEPS} DDIM steps": (draw.trace(Variables(params, extra), keys), DDIM_STEPS),
    }


def row(task: str, name: str, network: Network | Transformer, traced, calls: int) -> str:
    """Return a row of the table."""
    hand, asked = calls * by_hand(network), cost.flops(traced.jaxpr)
    compiled = traced.lower().compile()
    found, whole = count(compiled.as_text()), cost.memory(compiled)
    return (
        f"| {task} | {name} | {hand / 1e9:.1f} | {asked / 1e9:.1f} | {found.flops / 1e9:.1f} | "
        f"**{found.flops / hand:.3f}** | {found.bytes / 1e9:.1f} | {whole.scratch / 1e6:.0f} |"
    )


BEGIN, END = "<!-- table: python -m benchmarks.compiled -->", "<!-- end of counts -->"
HEAD = """\
| task | network | by hand, GFLOP | traced | compiled | compiled / by hand | GB moved | MB of scratch |
|---|---|---:|---:|---:|---:|---:|---:|"""


def main(names: Sequence[str]) -> None:
    """Count the networks of these names, or all, and write the table of all into the README."""
    rows = []
    for name in names or NETWORKS:
        for task, (traced, calls) in programs(NETWORKS[name]).items():
            rows.append(row(task, name, NETWORKS[name], traced, calls))
            print(rows[-1], flush=True)
    if not names:
        report.put(Path(__file__).parent / "README.md", "\n".join((HEAD, *rows, "")), BEGIN, END)


if __name__ == "__main__":
    main(sys.argv[1:])
