"""All cores of a CPU, without being told."""

import os

import jax


def use_every_core(count: int | None = None) -> None:
    """Make JAX see one CPU device a core, so that a batch is split over them; before JAX starts.

    Nothing is changed where the user's own flags say how many there are, or JAX has started already.

    Args:
      count: devices in the place of the cores; None for as many as this process may use.
    """
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    told = told or "JAX_NUM_CPU_DEVICES" in os.environ
    if told and count is None:
        return
    count = cores() if count is None else count
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # it runs
        return


def cores() -> int:
    """Return how many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def that_divide(rows: int, devices: int) -> int:
    """Return the largest number of at most `devices` that divides the rows of a batch."""
    return next(each for each in range(min(rows, devices), 0, -1) if rows % each == 0)
