"""3x3 convolutions of the U-Net and their gradients, XLA beside PyTorch: `python -m benchmarks.convolutions`.

Prints a Markdown table, milliseconds of wall and of processor, medians of 7.
"""

import time

import jax
import numpy as np
import torch

from benchmarks.networks import BATCH, THREADS

SHAPES = ((32, 64, 64), (32, 128, 64), (16, 128, 128), (16, 256, 128))  # size, channels in and out
WHAT = ("output", "by the input", "by the kernel")


def xla(x, kernel, g):
    """Return what computes the output and the two gradients."""
    names = ("NHWC", "HWIO", "NHWC")
    run = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=names)
    by_x = jax.jit(lambda x, k, g: jax.vjp(lambda x: run(x, k), x)[1](g)[0])
    by_k = jax.jit(lambda x, k, g: jax.vjp(lambda k: run(x, k), k)[1](g)[0])
    x, kernel, g = map(jax.device_put, (x, kernel, g))
    calls = (lambda: jax.jit(run)(x, kernel), lambda: by_x(x, kernel, g), lambda: by_k(x, kernel, g))
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
    titles = [f"{side}, {what}" for what in WHAT for side in ("XLA", "PyTorch")]
    print("| size, channels | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for size, channels, out in SHAPES:
        draw = np.random.default_rng(0)
        shapes = ((BATCH, size, size, channels), (3, 3, channels, out), (BATCH, size, size, out))
        arrays = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
        cells = [timed(call) for pair in zip(xla(*arrays), pytorch(*arrays)) for call in pair]
        print(f"| {size}x{size}, {channels} to {out} | " + " | ".join(cells) + " |", flush=True)
