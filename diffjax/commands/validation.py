"""The loss of held-out data on the way: as a whole, and at some noise levels where there are levels."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.data import Source
from diffjax.process import forward
from diffjax.training import sharding
from diffjax.training.system import System, Variables

_NOISE = 20_240  # of the key, so that every report sees the same noise


@checked
def held_out(
    system: System,
    source: Source,
    rows: int = 256,
    log_snrs: Sequence[float] = (-6.0, -2.0, 2.0, 6.0),
    seed: int = 0,
) -> Callable[[int, Variables], Mapping[str, float]]:
    """Make what measures held-out data on the way, for `training.fit(on_validate=...)`.

    Args:
      system: what is trained.
      source: held-out data, of which the first rows are taken.
      rows: how many; all are one batch.
      log_snrs: log(alpha^2 / sigma^2) of the levels at which the mean square error of x_0-hat is measured, of
        a system with a denoiser and no codec; one outside the schedule is measured at its nearest end.
      seed: of noise and times, the same at every report: reports differ by the parameters alone.

    Returns:
      `(step, variables) -> {"loss": ..., "x0_mse_at_-6": ..., ...}`; "loss" is the last update's own.

    Raises:
      ValueError: if `rows` is less than 1 or more than there are, or `log_snrs` holds what is no number.
    """
    checks.count("rows", rows)
    if rows > len(source):
        raise ValueError(f"rows must be at most the {len(source)} that are held out, got {rows}")
    chosen = source.gather(np.arange(rows))

    @functools.cache
    def measure(mesh):
        run = lambda variables, key, batch: _measured(system, variables, key, batch, log_snrs)
        return jax.jit(sharding.told(mesh, run))

    def report(step, variables):
        del step
        key = jax.random.fold_in(jax.random.key(seed), _NOISE)
        found = measure(sharding.mesh_of(variables))(variables, key, chosen)
        return {name: float(value) for name, value in found.items()}

    return report


def _measured(system, variables, key, batch, log_snrs) -> dict[str, Any]:
    found = {"loss": system.updates[-1].gradients(variables, key, batch, jnp.int32(0))[2]["loss"]}
    if system.denoiser is None or system.schedule is None or system.codec is not None:
        return found
    schedule, denoise, x0 = system.schedule(variables), system.denoiser(variables), batch["x"]
    cond = system.request.told(variables, key, batch)
    for i, log_snr in enumerate(log_snrs):
        level = schedule(jnp.full(len(x0), _time(schedule, log_snr)))
        x_t = forward.noised(jax.random.fold_in(key, i), x0, level)
        error = denoise(x_t, level, cond).x0 - x0
        found[f"x0_mse_at_{log_snr:g}"] = jnp.mean(error**2)
    return found


def _time(schedule, log_snr):
    """Return the time of a log SNR, by bisection, as a schedule that is trained has no inverse; or an end."""
    if schedule.num_steps is not None:
        steps = jnp.arange(1, schedule.num_steps + 1)
        return steps[jnp.argmin(jnp.abs(schedule(steps).log_snr - log_snr))]

    def halve(_, ends):
        middle = ends.mean()
        noisier = schedule(middle).log_snr < log_snr  # the time that is sought lies before
        return jnp.where(noisier, ends.at[1].set(middle), ends.at[0].set(middle))

    ends = jnp.array([schedule.t_min, schedule.t_max], jnp.float32)
    return jax.lax.fori_loop(0, 40, halve, ends).mean()
