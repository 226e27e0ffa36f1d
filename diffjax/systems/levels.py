"""The noise levels at which a system that knows noise is measured, `config.levels`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import samplers
from diffjax.process import forward
from diffjax.process.level import NoiseLevel
from diffjax.process.schedules import Schedule
from diffjax.systems.options import call, optional_section
from diffjax.types import Array

_DEFAULT = {"steps": 12, "grid": "karras"}


def times(config: ConfigDict, noise: Schedule) -> np.ndarray:
    """Return the times of the grid that `config.levels` says, such as {"steps": 12, "grid": "karras"}.

    Those without noise are left out. The section may be missing.
    """
    options: dict[str, Any] = {**_DEFAULT, **optional_section(config, "levels")}
    grid = call("levels", samplers.grids.make, options, noise)
    return grid[np.asarray(noise(grid).sigma) > 0]


def at_each(
    measure: Callable[[Array, NoiseLevel], Mapping[str, Array]],
    key: Array,
    x0: Array,
    schedule: Schedule,
    levels: Sequence[float] | np.ndarray,
) -> dict[str, Array]:
    """Return what is measured of data with one draw of noise a level, {name: [B, L, ...]}.

    Args:
      measure: (x_t `[B, ...]`, level) -> {name: [B, ...]}.
      key: of the noise.
      x0: data `[B, ...]`.
      schedule: of the levels.
      levels: times `[L]`.
    """

    def at(each):
        t, key = each
        level = schedule(t)
        return measure(forward.noised(key, x0, level), level)

    found = jax.lax.map(at, (jnp.asarray(levels, jnp.float32), jax.random.split(key, len(levels))))
    return {name: each.swapaxes(0, 1) for name, each in found.items()}


def how(schedule: Schedule, levels: Sequence[float] | np.ndarray) -> dict[str, list[float]]:
    """Return the times `[L]` and their log(alpha^2 / sigma^2), which say which levels these are."""
    with np.errstate(divide="ignore"):
        log_snr = [float(schedule(t).log_snr) for t in np.asarray(levels, np.float64)]
    return {"t": np.asarray(levels).tolist(), "log_snr": log_snr}
