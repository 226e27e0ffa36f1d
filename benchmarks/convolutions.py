"""3x3 convolutions of the U-Net and their gradients, XLA beside PyTorch: `python -m benchmarks.convolutions`.

The gradient by the kernel also as the training step makes it, part by part. Prints a Markdown table,
milliseconds of wall and of processor, medians of 7.
"""

import time

import jax
import numpy as np
import torch

from benchmarks.networks import BATCH, THREADS
from diffjax.convolutions import in_order

SHAPES = ((32, 64, 64), (32, 128, 64), (16, 128, 128), (16, 256, 128))  # size, channels in and out
TITLES = ("XLA, output", "PyTorch, output", "XLA, by the input", "PyTorch, by the input")
TITLES += ("XLA, by the kernel", "in parts", "PyTorch, by the kernel")


def xla(x, kernel, g):
    """Return what computes the output and the two gradients, that by the kernel in two ways."""
    names = ("NHWC", "HWIO", "NHWC")
    run = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=names)
    by_x = jax.jit(lambda x, k, g: jax.vjp(lambda x: run(x, k), x)[1](g)[0])
    by_k = jax.jit(lambda x, k, g: jax.vjp(lambda k: run(x, k), k)[1](g)[0])
    x, kernel, g = map(jax.device_put, (x, kernel, g))
    parts = jax.jit(in_order(by_k))
    calls = (
        lambda: jax.jit(run)(x, kernel),
        lambda: by_x(x, kernel, g),
        lambda: by_k(x, kernel, g),
        lambda: parts(x, kernel, g),
    )
    return [lambda call=call: jax.block_until_ready(call()) for call in calls]


def pytorch(x, kernel, g):
    """Return the same of PyTorch, channels last."""
    last = lambda a: torch.from_numpy(a.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    x, g, kernel = last(x), last(g), torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    ones, zeros = (1, 1), (0, 0)
    gradient = lambda *mask: torch.ops.aten.convolution_backward(
        g, x, kernel, None, ones, ones, ones, False, zeros, 1, (*mask, False)
    )
    forward = lambda: torch.nn.functional.conv2d(x, kernel, padding=1)
    return [forward, lambda: gradient(True, False), lambda: gradient(False, True)]


def timed(call):
    """Return the milliseconds of a call, wall and processor, as text."""
    spent = []
    for _ in range(9):
        begin = np.array([time.perf_counter(), time.process_time()])
        call()
        spent.append(np.array([time.perf_counter(), time.process_time()]) - begin)
    wall, processor = 1e3 * np.median(spent[2:], 0)
    return f"{wall:.1f}, {processor:.1f}"


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    print("| size, channels | " + " | ".join(TITLES) + " |\n|---|" + "---|" * len(TITLES))
    for size, channels, out in SHAPES:
        draw = np.random.default_rng(0)
        shapes = ((BATCH, size, size, channels), (3, 3, channels, out), (BATCH, size, size, out))
        arrays = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
        ours, theirs = xla(*arrays), pytorch(*arrays)
        cells = map(timed, (ours[0], theirs[0], ours[1], theirs[1], *ours[2:], theirs[2]))
        print(f"| {size}x{size}, {channels} to {out} | " + " | ".join(cells) + " |", flush=True)
