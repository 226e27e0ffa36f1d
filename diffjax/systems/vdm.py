"""Variational diffusion models (Kingma et al. 2021): the bound is the loss, in bits/dim.

The noise schedule may be trained along with the network. The bound in continuous time depends on its ends
alone; what is between them learns to quiet the estimate (app. I.2, `objectives.reducing_variance`). That in T
steps depends on all of it. The network is told gamma = -log SNR in place of the time.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from ml_collections import ConfigDict

from diffjax import guidance, objectives, samplers
from diffjax.likelihoods import continuous_elbo
from diffjax.process import learned, schedules
from diffjax.process.level import NoiseLevel
from diffjax.process.prediction import Reading
from diffjax.process.schedules import Schedule
from diffjax.systems import networks, null_guidance, read, weaker
from diffjax.systems.options import call, fill, require, section
from diffjax.systems.requests import Requests, prepared
from diffjax.systems.stages import Stage
from diffjax.training.system import Pass, System, Update, from_loss

NEEDED = ("data", "schedule", "model", "objective", "sampler")
SECTIONS = (*NEEDED, "conditions")
IDENTITY = ("data", "schedule", "model", "conditions")
_OF_DROP = 1  # folded into a step's key for what is hidden
_DRAWS = 64  # of time and noise for each measured image, a network call each


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`.

    Schedule "learned" is trained.
    """
    require(config, *NEEDED, "schedule.name")
    trainable = _trainable(config)
    start, module = trainable.start, read.network(config)
    options = section(config, "objective", "kind", *read.DROPS)
    requests, sampler = read.request(config, module, folder), read.sampler(config, start)
    gives = read.gives(config)
    values = continuous_elbo.EIGHT_BITS if gives == "images" else None  # points are not discrete
    return fill(
        "objective", vdm, options, module, trainable, sampler, shape=read.shape(config), gives=gives,
        reading=read.kind(config, start, ask=lambda level: -level.log_snr),
        requests=requests, values=values, weak=weaker.of_config(config, sampler, folder),
    )  # fmt: skip


def _trainable(config):
    if config.schedule.name == "learned":
        return call("schedule", trained, section(config, "schedule", "name"))
    noise = read.schedule(config)
    if noise.num_steps is not None:
        raise ValueError(f"system 'vdm' needs a continuous schedule, and {config.schedule.name!r} is a chain")
    return fixed(noise)


class TrainableSchedule(NamedTuple):
    """A noise schedule that may have parameters; make it with `fixed` or `trained`.

    Attributes:
      init: key -> parameters.
      schedule: parameters -> Continuous.
      between: (parameters, t `[B]`) -> what lies between the ends there, a pytree of `[B]`.
      level: (parameters, between, t `[B]`) -> NoiseLevel of `[B]`.
      start: the schedule before training, of which grids and times are made.
    """

    init: Callable[[jax.Array], Any]
    schedule: Callable[[Any], Schedule]
    between: Callable[[Any, jax.Array], Any]
    level: Callable[[Any, Any, jax.Array], NoiseLevel]
    start: Schedule


def fixed(schedule: Schedule) -> TrainableSchedule:
    """Return a TrainableSchedule without parameters, of a Continuous one, e.g. `log_snr_linear()`."""
    return TrainableSchedule(
        lambda key: {}, lambda params: schedule, lambda params, t: (),
        lambda params, between, t: schedule(t), schedule,
    )  # fmt: skip


def trained(log_snr_max: float = 13.3, log_snr_min: float = -5.0, width: int = 1024) -> TrainableSchedule:
    """Return the TrainableSchedule of a learned monotone gamma(t), t in [0, 1].

    Args:
      log_snr_max, log_snr_min: of the straight line from which training starts.
      width: hidden units of gamma; 0 trains the two ends alone.
    """

    def schedule(params):
        made = schedules.learned(partial(learned.monotone, params))
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(params)):
            return made
        # traced parameters have levels on device only, also at the host times of a plan
        return dataclasses.replace(made, level=lambda t: made.level(jnp.asarray(t))._replace(t=t))

    def level(params, between, t):
        w, d_w = between
        return learned.anchored(learned.monotone(params, jnp.arange(2.0)), w, d_w, t)

    init = partial(learned.init, log_snr_max=log_snr_max, log_snr_min=log_snr_min, width=width)
    start = schedules.log_snr_linear(log_snr_max, log_snr_min)
    return TrainableSchedule(init, schedule, learned.position, level, start)


def vdm(
    module: nn.Module,
    trainable: TrainableSchedule,
    sampler: read.Sampler,
    *,
    shape: tuple[int, ...],
    reading: Reading,
    gives: str = "images",
    requests: Requests | None = None,
    num_steps: int | None = None,
    values: np.ndarray | None = continuous_elbo.EIGHT_BITS,
    weak: Stage | None = None,
) -> System:
    """Make the system; its parameters are "network", "schedule" and those of its conditions.

    Args:
      module: network `(x, gamma, Condition | None) -> output`.
      trainable: TrainableSchedule.
      sampler: `read.Sampler`. Its rows are made of the trained parameters, on device and before the scan.
        What an interval or a weight of the noise costs is counted on the schedule before training.
      shape: of one example, e.g. (H, W, C).
      reading: of the network, asked at gamma.
      gives: "images" or "points".
      requests: what the model is asked; default nothing.
      num_steps: T of the bound in T equal steps of time; None for continuous time, its limit.
      values: that data may have, see `continuous_elbo.terms`; None for data that are not discrete.
      weak: see `ddpm`.

    Returns:
      A System. The loss is one draw of the bound in bits per dimension; metrics hold the log SNR at both
      ends. A sample is z_0 / alpha_0, the likeliest x of p(x | z_0).

    Raises:
      ValueError: for a network with batch statistics or another state, num_steps below 1, a schedule whose
        log SNR is infinite at an end, a solver that cannot plan a trained schedule, or guidance of a model
        without a null.
    """
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, or None for continuous time; got {num_steps}")
    _require_finite(trainable.start)
    _require_plan(trainable, sampler.solver, sampler.times)
    requests = Requests() if requests is None else requests
    null_guidance.check(sampler, requests.conditioning)
    request, span = requests.conditioning, trainable.start.t_max - trainable.start.t_min
    draw_times = objectives.low_discrepancy(trainable.start)
    inputs = networks.inputs(shape, module)
    networks.require_params_alone(module, *inputs)
    schedule_of = lambda v: trainable.schedule(v.params["schedule"])

    def init(key, batch, frozen):
        del batch, frozen
        key_network, key_schedule = jax.random.split(key)
        params, extra = networks.init(module, key_network, *networks.zeros(inputs))
        return {**params, **requests.init(key_network), "schedule": trainable.init(key_schedule)}, extra

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_0, key_network = jax.random.split(key, 4)
        x0, t = batch["x"], draw_times(key_t, len(batch["x"]))
        keep = request.kept(jax.random.fold_in(key, _OF_DROP), len(x0))
        eps, eps_0 = (jax.random.normal(k, x0.shape, x0.dtype) for k in (key_eps, key_0))

        def losses(params, level, **steps):
            now = v._replace(params=params)
            denoise, (level_0, level_1) = denoiser(now, key_network), _ends(schedule_of(now), x0.dtype)
            cond = request.told(now, key, batch, keep)
            return objectives.variational(
                denoise, x0, eps, level, cond, eps_0=eps_0, level_0=level_0, level_1=level_1, span=span,
                prior_std=trainable.start.prior_std, values=values, **steps,
            )[0]  # fmt: skip

        def in_continuous_time(params):
            at = lambda params, between: losses(params, trainable.level(params["schedule"], between, t))
            return objectives.reducing_variance(at)(params, trainable.between(params["schedule"], t))

        def in_steps(params, count):
            schedule = schedule_of(v)
            below, above = map(schedule, continuous_elbo.step_around(schedule, t, count))
            return losses(params, above, level_s=below, num_steps=count)

        bits = in_continuous_time(v.params) if num_steps is None else in_steps(v.params, num_steps)
        first, last = _ends(schedule_of(v), x0.dtype)
        return bits.mean(), (v.extra, {"log_snr_max": first.log_snr, "log_snr_min": last.log_snr})

    def denoiser(v, key=None):
        return reading.denoiser(networks.of(module, v, key))

    def walk(v, keys, asked, made):
        del made
        schedule, n = schedule_of(v), len(keys)
        rows = samplers.plan(schedule, sampler.solver, sampler.times)
        cond, guides = null_guidance.walked(sampler, request, v, asked, n, weaker.denoiser(weak))
        denoise = guidance.chain(*guides, *sampler.changes(keys, asked))(denoiser(v))
        begin = trainable.start if sampler.edit.strength is None else schedule
        x = sampler.start(keys, begin, (n, *shape), asked)
        x = samplers.walk(keys, denoise, sampler.solver, rows, x, cond=cond)
        return x / schedule(sampler.times[-1]).alpha

    def bound(v, key, batch):
        """The bound in bits per dimension and its parts, `[B]` each."""
        found = continuous_elbo.bits_per_dim(
            key, denoiser(v), schedule_of(v), batch["x"], num_steps=num_steps, draws=_DRAWS, values=values,
            cond=request.told(v, key, batch),
        )  # fmt: skip
        return {"bits_per_dim": found.pop("total"), **found}

    bound.how = {"num_steps": num_steps, "draws": _DRAWS}
    params = ("network", *requests.learned(), "schedule")
    made = System(
        example={"x": jax.ShapeDtypeStruct((1, *shape), jnp.float32), **requests.example},
        init=init,
        updates=(Update("network", params, from_loss(total, params)),),
        serves=params,
        prepare=prepared(requests),
        request=sampler.asks(request, shape, gives),
        passes=(Pass("walk", walk, weaker.calls(sampler)),),
        gives=gives,
        measures={"bound": bound},
        denoiser=denoiser,
        schedule=schedule_of,
    )
    return made if weak is None else weaker.beside(made, weak, request)


def _ends(schedule, dtype):
    return [schedule(jnp.asarray(end, dtype)) for end in (schedule.t_min, schedule.t_max)]


def _require_finite(schedule):
    first, last = (float(schedule(np.float64(t)).log_snr) for t in (schedule.t_min, schedule.t_max))
    if not np.isfinite([first, last]).all():
        raise ValueError(
            "schedule must have a finite log_snr at both ends, as log_snr_linear has it; got "
            f"{first:g} and {last:g}"
        )


def _require_plan(trainable, solver, times):
    def plan(params):
        return samplers.plan(trainable.schedule(params), solver, times)

    try:
        jax.eval_shape(plan, jax.eval_shape(trainable.init, jax.random.key(0)))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        raise ValueError(
            "a trained schedule is sampled by ddim or ancestral: this solver plans with host numbers"
        ) from None
