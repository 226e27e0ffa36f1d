"""Variational diffusion models (Kingma et al. 2021): the bound is the loss, in bits/dim.

The noise schedule may be trained along with the network. The bound in continuous time depends on its ends
alone; what is between them learns to quiet the estimate (app. I.2, `objectives.reducing_variance`). That in T
steps depends on all of it. The network is told gamma = -log SNR in place of the time.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import objectives, samplers
from diffjax.likelihoods.continuous_elbo import EIGHT_BITS, step_around
from diffjax.process import learned, prediction, schedules
from diffjax.samplers.walk import start_of
from diffjax.training.system import System, from_loss


class Clock(NamedTuple):
    """A noise schedule that may have parameters; make it with `fixed` or `trained`.

    Attributes:
      init: key -> parameters.
      schedule: parameters -> Continuous.
      between: (parameters, t `[B]`) -> what lies between the ends there, a pytree of `[B]`.
      level: (parameters, between, t `[B]`) -> NoiseLevel of `[B]`.
      start: the schedule before training, of which grids and times are made.
    """

    init: Callable
    schedule: Callable
    between: Callable
    level: Callable
    start: schedules.Continuous


def fixed(schedule):
    """Return the Clock of a Continuous schedule without parameters, e.g. `schedules.log_snr_linear()`."""
    return Clock(
        lambda key: {}, lambda params: schedule, lambda params, t: (),
        lambda params, between, t: schedule(t), schedule,
    )  # fmt: skip


def trained(log_snr_max=13.3, log_snr_min=-5.0, width=1024):
    """Return the Clock of a learned monotone gamma(t), t in [0, 1].

    Args:
      log_snr_max, log_snr_min: of the straight line from which training starts.
      width: hidden units of gamma; 0 trains the two ends alone.
    """

    def schedule(params):
        made = schedules.learned(partial(learned.monotone, params))
        # traced parameters have levels on device only, also at the host times of a plan
        return dataclasses.replace(made, level=lambda t: made.level(jnp.asarray(t))._replace(t=t))

    def level(params, between, t):
        return learned.anchored(learned.monotone(params, jnp.arange(2.0)), *between, t)

    init = partial(learned.init, log_snr_max=log_snr_max, log_snr_min=log_snr_min, width=width)
    start = schedules.log_snr_linear(log_snr_max, log_snr_min)
    return Clock(init, schedule, learned.position, level, start)


def vdm(
    module, clock, solver, times, *, shape, num_classes=None, kind="eps", num_steps=None, values=EIGHT_BITS,
    threshold=None,
):  # fmt: skip
    """Make the system; its parameters are {"network", "schedule"}.

    Args:
      module: network `(x, gamma, cond) -> output`.
      clock: Clock.
      solver: Solver of `sample`. Its rows are made of the trained parameters, on device and before the scan:
        of a trained clock only solvers whose plan needs no host numbers, `ddim` and `ancestral`.
      times: its time grid.
      shape: of one example, e.g. (H, W, C).
      num_classes: of the labels that the network is told; None for an unconditional model.
      kind: what the network predicts, one of `prediction.KINDS`.
      num_steps: T of the bound in T equal steps of time (eq. 14), by which a trained schedule is then trained
        throughout; None for continuous time.
      values: that data may have, see `continuous_elbo.terms`; None for data that are not discrete.
      threshold: a guidance transformation that keeps x_0 in range, or None.

    Returns:
      A System. The loss is one draw of the bound in bits per dimension; metrics hold the log SNR at both
      ends. A sample is z_0 / alpha_0, the likeliest x of p(x | z_0).

    Raises:
      ValueError: for an unknown kind, num_steps below 1, a schedule whose log SNR is infinite at an end, or a
        solver that cannot plan a trained clock.
    """
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, or None for continuous time; got {num_steps}")
    _require_finite(clock.start)
    read = denoiser(module, kind)
    draw_times, span = objectives.low_discrepancy(clock.start), clock.start.t_max - clock.start.t_min

    def init(key):
        key_network, key_schedule = jax.random.split(key)
        cond = None if num_classes is None else jnp.zeros(1, int)
        network = module.init(key_network, jnp.zeros((1, *shape)), jnp.ones(1), cond)
        return {"network": network, "schedule": clock.init(key_schedule)}, (), ()

    def total(params, extra, frozen, key, batch, step):
        key_t, key_eps, key_0, key_network = jax.random.split(key, 4)
        x0, t = batch["x"], draw_times(key_t, len(batch["x"]))
        eps, eps_0 = (jax.random.normal(k, x0.shape, x0.dtype) for k in (key_eps, key_0))
        cond = None if num_classes is None else batch["label"]
        apply = partial(module.apply, train=True, rngs={"dropout": key_network})

        def ends(params):
            schedule = clock.schedule(params["schedule"])
            return [schedule(jnp.asarray(end, x0.dtype)) for end in (schedule.t_min, schedule.t_max)]

        def losses(params, level, **steps):
            denoise, (level_0, level_1) = _reading(partial(apply, params["network"]), kind), ends(params)
            return objectives.variational(
                denoise, x0, eps, level, cond, eps_0=eps_0, level_0=level_0, level_1=level_1, span=span,
                prior_std=clock.start.prior_std, values=values, **steps,
            )[0]  # fmt: skip

        def in_continuous_time(params):
            at = lambda params, between: losses(params, clock.level(params["schedule"], between, t))
            return objectives.reducing_variance(at)(params, clock.between(params["schedule"], t))

        def in_steps(params):
            schedule = clock.schedule(params["schedule"])
            below, above = map(schedule, step_around(schedule, t, num_steps))
            return losses(params, above, level_s=below, num_steps=num_steps)

        bits = in_continuous_time(params) if num_steps is None else in_steps(params)
        first, last = ends(params)
        return bits.mean(), (extra, {"log_snr_max": first.log_snr, "log_snr_min": last.log_snr})

    def sample(params, extra, frozen, key, cond, n):
        schedule = clock.schedule(params["schedule"])
        rows = samplers.plan(schedule, solver, times)
        denoise = (threshold or (lambda denoise: denoise))(read(params))
        x = start_of(key, clock.start, (n, *shape), times)
        return samplers.walk(key, denoise, solver, rows, x, cond=cond) / schedule(times[-1]).alpha

    _require_plan(clock, solver, times)
    return System(init, from_loss(total), sample)


def denoiser(module, kind="eps"):
    """Return params -> Denoiser, the network of `vdm`.

    Args:
      module, kind: see `vdm`.
    """
    return lambda params: _reading(partial(module.apply, params["network"]), kind)


def _reading(network, kind):
    return prediction.denoiser(network, kind, label=lambda level: -level.log_snr)


def _require_finite(schedule):
    first, last = (float(schedule(np.float64(t)).log_snr) for t in (schedule.t_min, schedule.t_max))
    if not np.isfinite([first, last]).all():
        raise ValueError(
            "schedule must have a finite log_snr at both ends, as log_snr_linear has it; got "
            f"{first:g} and {last:g}"
        )


def _require_plan(clock, solver, times):
    def plan(params):
        return samplers.plan(clock.schedule(params), solver, times)

    try:
        jax.eval_shape(plan, jax.eval_shape(clock.init, jax.random.key(0)))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        raise ValueError(
            "a trained schedule is sampled by ddim or ancestral: this solver plans with host numbers"
        ) from None
