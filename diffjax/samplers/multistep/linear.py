"""The step that all linear multistep solvers share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax.process.level import Array, NoiseLevel, expand
from diffjax.process.prediction import Prediction
from diffjax.samplers.solver import Solver


class Row(NamedTuple):
    """x_s = x x_t + sum_j outputs_j m_j + noise z, where m_j is what the network said j steps ago."""

    level: NoiseLevel
    x: Array
    outputs: tuple  # newest first
    noise: Array


def row(level: NoiseLevel, x: Array, weights: Array, noise: Array | None = None) -> Row:
    """Make a Row; `weights` is `[N, order]`, newest first."""
    return Row(level, x, tuple(weights.T), np.zeros_like(x) if noise is None else noise)


def plus(x: Array, weights: Sequence[Array], outputs: Sequence[Array]) -> Array:
    """Return x and the outputs `[B, ...]` by the weights of a row, all added."""
    return x + sum(expand(w, x) * m for w, m in zip(weights, outputs, strict=True))


def multistep(plan: Callable, order: int, read: Callable[[Prediction], Array], draws: int = 0) -> Solver:
    """Make the Solver of one network call a step.

    Args:
      plan: (schedule, times) -> Row.
      order: how many outputs a step combines.
      read: Prediction -> the reading that is combined.
      draws: unit normals a step, 0 or 1.
    """

    def init(x):
        return (jnp.zeros_like(x),) * (order - 1)

    def step(noise, denoise, x, row, cond, past):
        outputs = (read(denoise(x, row.level, cond)), *past)
        x = plus(expand(row.x, x) * x, row.outputs, outputs)
        return (x + expand(row.noise, x) * noise(0) if draws else x), outputs[: order - 1]

    return Solver(init, plan, step, nfe=1, draws=draws)
