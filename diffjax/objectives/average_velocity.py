"""What all losses of an average velocity begin with: noised data, times, and the velocity that is true."""

from typing import Any

from jax import numpy as jnp

from diffjax.process import forward, prediction
from diffjax.process.level import NoiseLevel, namespace, require_rates, time_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array


def begin(x0: Array, eps: Array, *levels: NoiseLevel) -> tuple[Array, list[Array]]:
    """Return x_t of the first level and the times `[B]` of all.

    Raises:
      ValueError: for a schedule without rates, or levels that are known not to fall.
    """
    require_rates(levels[0], "a flow map's velocity")
    falls = namespace(*(each.t for each in levels)) is jnp or all(
        (above.t >= below.t).all() for above, below in zip(levels[:-1], levels[1:])
    )
    if not falls:
        raise ValueError(
            "level_t to level_s: levels must be in order, s <= t: none noisier than the one before it"
        )
    x_t = forward.perturb(x0, eps, levels[0])
    return x_t, [time_of_each(each, x_t) for each in levels]


def velocity(
    x0: Array, eps: Array, x_t: Array, level: NoiseLevel, teacher: Denoiser | None, cond: Any
) -> Array:
    """Return the velocity at x_t that a teacher says, or without one the data's."""
    said = prediction.Prediction(x0, eps) if teacher is None else teacher(x_t, level, cond)
    return prediction.velocity(said, level)
