"""The noise levels at which a system that knows noise is measured, `config.levels`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from diffjax import samplers
from diffjax.process.schedules import Schedule
from diffjax.systems.options import call, section

_DEFAULT = {"steps": 12, "grid": "karras"}


def times(config: ConfigDict, noise: Schedule) -> np.ndarray:
    """Return the times of the grid that `config.levels` says, such as {"steps": 12, "grid": "karras"}.

    Those without noise are left out. The section may be missing.
    """
    given: dict[str, Any] = section(config, "levels") if config.get("levels") is not None else {}
    grid = call("levels", samplers.grids.make, {**_DEFAULT, **given}, noise)
    return grid[np.asarray(noise(grid).sigma) > 0]


def log_snr(schedule: Schedule, levels: Sequence[float] | np.ndarray) -> list[float]:
    """Return log(alpha^2 / sigma^2) at times `[L]`."""
    with np.errstate(divide="ignore"):
        return [float(schedule(t).log_snr) for t in np.asarray(levels, np.float64)]
