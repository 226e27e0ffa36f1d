"""Denoising diffusion: one network, one schedule, any parameterization (Ho et al. 2020).

Covers class-conditional and unconditional models of images and points: L_simple with any weighting, the
bound and the hybrid loss with learned variances and importance-sampled times (Nichol & Dhariwal 2021), input
perturbation (Ning et al. 2023), labels dropped for classifier-free guidance (Ho & Salimans 2022).

On a continuous schedule the same system is a score model of Song et al. 2021 (kind "eps" or "score" on
`vp_linear`, `sub_vp`, `ve`), flow matching (kind "velocity" on `rectified_flow`), or EDM (a preconditioning
on `edm`, Karras et al. 2022).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import guidance, objectives, samplers
from diffjax.likelihoods import elbo
from diffjax.process import forward
from diffjax.process.prediction import Reading
from diffjax.process.schedules import Chain, Schedule
from diffjax.systems import learned_times, networks, null_guidance, read, weaker
from diffjax.systems.options import call, fill, pick, require, section
from diffjax.systems.requests import Requests, prepared
from diffjax.systems.stages import Stage
from diffjax.training.system import Pass, System, Update, from_loss
from diffjax.types import Array

Loss = Callable[..., tuple[Array, dict]]  # what `ddpm` takes as its loss

NEEDED = ("data", "schedule", "model", "objective", "sampler")
SECTIONS = (*NEEDED, "conditions")
IDENTITY = ("data", "schedule", "model", "conditions")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`."""
    require(config, *NEEDED)
    noise, module = read.schedule(config), read.network(config)
    reading, sampler = read.reading(config, noise), read.sampler(config, noise)
    options = section(config, "objective", "kind", "preconditioning", "times", *read.DROPS)
    loss, variance = _loss(options, noise, reading, "preconditioning" in config.objective)
    return fill(
        "objective", ddpm, options, module, noise, sampler,
        shape=read.shape(config), gives=read.gives(config), reading=reading,
        requests=read.request(config, module, folder), loss=loss, times=read.times(config, noise),
        bound_variance=_bound_variance(config, noise, variance),
        weak=weaker.of_config(config, sampler, folder),
    )  # fmt: skip


def ddpm(
    module: nn.Module,
    schedule: Schedule,
    sampler: read.Sampler,
    *,
    shape: tuple[int, ...],
    reading: Reading,
    gives: str = "images",
    requests: Requests | None = None,
    loss: Loss | None = None,
    times: objectives.TimeSampler | None = None,
    input_perturbation: float = 0.0,
    bound_variance: forward.Variance = "fixed_small",
    weak: Stage | None = None,
) -> System:
    """Make the system.

    Args:
      module: network `(x, t, Condition | None) -> output`.
      schedule: any schedule.
      sampler: `read.Sampler`.
      shape: of one example, e.g. (H, W, C).
      reading: `prediction.Reading` of the network, for the loss and for sampling alike.
      gives: "images" or "points".
      requests: what the model is asked, see `systems.requests`; default nothing.
      loss: (network, x0, eps, level, cond, reading=, level_s=, pair=, x_t=) -> (loss `[B]`, aux), with
        level_s and pair of a chain's own step n -> n - 1 (None on other schedules); default `simple()`.
      times: `objectives.TimeSampler` of the loss; default uniform. Its state, if it has one, is in `extra`.
      input_perturbation: gamma of DDPM-IP; 0 is none.
      bound_variance: of the transitions whose bound is measured, on a chain.
      weak: the weaker run of autoguidance, where `sampler` has it in the place of a null.

    Returns:
      A System.

    Raises:
      ValueError: if guidance is asked of a model without a null, the weaker run is of other data, or the
        network says nothing of x_0 where sampling starts.
    """
    requests = Requests() if requests is None else requests
    request = requests.conditioning
    null_guidance.check(sampler, request)
    _require_start(reading, schedule, sampler.times)
    chain = schedule.num_steps is not None
    loss, times = loss or simple(), times or objectives.stateless(objectives.uniform(schedule))
    rows = samplers.plan(schedule, sampler.solver, sampler.times)
    table = objectives.step_table(cast(Chain, schedule)) if chain else None
    inputs = networks.inputs(shape, module)

    def init(key, batch, frozen):
        del batch, frozen  # the network is initialised alike, whatever the data are
        params, extra = networks.init(module, key, *networks.zeros(inputs))
        return params | requests.init(key), extra | learned_times.init(times)

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_xi, key_label, key_network = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        t, weights = learned_times.draw(times, v, key_t, n)
        eps, level, x_t = jax.random.normal(key_eps, x0.shape, x0.dtype), schedule(t), None
        if input_perturbation:
            xi = jax.random.normal(key_xi, x0.shape, x0.dtype)
            x_t = objectives.perturbed_input(x0, eps, level, xi, input_perturbation)
        network, state = networks.training(module, v, key_network)
        cond = request.told(v, key_label, batch, request.kept(key_label, n))
        pair = {"level_s": schedule.step_before(level), "pair": table(t)} if table is not None else {}
        losses, _ = loss(network, x0, eps, level, cond, reading=reading, x_t=x_t, **pair)
        extra = learned_times.updated(times, {**v.extra, **state()}, t, losses)
        return (weights * losses).mean(), (extra, {})

    def denoiser(v, key=None):
        return reading.denoiser(networks.of(module, v, key))

    def walk(v, keys, asked, made):
        del made
        n = len(keys)
        cond, guides = null_guidance.walked(sampler, request, v, asked, n, weaker.denoiser(weak, schedule))
        denoise = guidance.chain(*guides, *sampler.changes(keys, asked))(denoiser(v))
        x = sampler.start(keys, schedule, (n, *shape), asked)
        return samplers.walk(keys, denoise, sampler.solver, rows, x, cond=cond)

    def bound(v, key, batch):
        """One draw of noise a step: the bound in bits per dimension and its terms, `[B]` and `[B, T]`."""
        cond = request.told(v, key, batch)
        found = elbo.bits_per_dim(key, denoiser(v), schedule, batch["x"], cond=cond, variance=bound_variance)
        return {
            "bits_per_dim": found["total"],
            **{n: found[n] for n in ("prior", "terms", "x0_mse", "eps_mse")},
        }

    bound.how = {"variance": bound_variance}
    names = networks.served(module, *inputs) + requests.learned()
    params = tuple(name for name in names if not name.endswith("_state"))
    made = System(
        example={"x": jax.ShapeDtypeStruct((1, *shape), jnp.float32), **requests.example},
        init=init,
        # the state of a network (batch statistics) is no mean over rows
        updates=(Update("network", params, from_loss(total, params), rowwise=names == params),),
        serves=names,
        prepare=prepared(requests),
        request=sampler.asks(request, shape, gives),
        passes=(Pass("walk", walk, weaker.calls(sampler)),),
        gives=gives,
        measures={"bound": bound} if chain else {},
        denoiser=denoiser,
        schedule=lambda v: schedule,
    )
    return made if weak is None else weaker.beside(made, weak, request)


def _require_start(reading, schedule, times):
    level = schedule(times[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        says_x0 = level.alpha != 0 or np.isfinite(reading.x0_error(level))
    if not says_x0:
        raise ValueError(
            "the network says nothing of x_0 at alpha = 0, where the grid starts; use kind 'v' or 'x0', or "
            "no preconditioning"
        )


def simple(weighting: Callable | None = None) -> Loss:
    """Return the loss `objectives.denoising` in the form that `ddpm` takes."""

    def loss(network, x0, eps, level, cond, *, reading, level_s=None, pair=None, x_t=None):
        del level_s, pair
        return objectives.denoising(
            network, x0, eps, level, cond, reading=reading, weighting=weighting, x_t=x_t
        )

    return loss


def bound(num_steps: int, variance: forward.Variance = "learned_range") -> Loss:
    """Return T `objectives.bound`, whose mean over uniform times is the bound less its prior term."""

    def loss(network, x0, eps, level, cond, **how):
        bits, aux = objectives.bound(network, x0, eps, level, cond, variance=variance, **how)
        return num_steps * bits, aux

    return loss


def hybrid(
    num_steps: int,
    variance: forward.Variance = "learned_range",
    weighting: Callable | None = None,
    bound_weight: float = 0.001,
) -> Loss:
    """Return `objectives.hybrid` with the paper's lambda = 0.001 of the bound's sum."""
    return partial(
        objectives.hybrid, variance=variance, weighting=weighting, bound_weight=bound_weight * num_steps
    )


_LOSSES = {"simple": simple, "bound": bound, "hybrid": hybrid}


def _loss(options, noise, reading, preconditioned):
    """Take the loss out of the options of `config.objective`; return it and the variance that it learns."""
    name = options.pop("loss", "simple")
    own = {key: options.pop(key) for key in ("weighting", "variance", "bound_weight") if key in options}
    weighting = read.weighting(own.pop("weighting", None))
    own |= {} if weighting is None else {"weighting": weighting}
    make = pick("objective.loss", name, _LOSSES)
    if name == "simple":
        return call("objective", make, own), None
    if preconditioned:
        raise ValueError(f"objective.loss={name!r} is not for a preconditioned network; its loss is 'simple'")
    if noise.num_steps is None:
        raise ValueError(f"objective.loss={name!r} needs a chain, and schedule.name is continuous")
    variance = own.get("variance", "learned_range")
    pick("objective.variance", variance, forward.VARIANCES)
    return call("objective", make, own, noise.num_steps), variance


def _bound_variance(config, noise, learned):
    """Return the variance of the measured bound: `evaluation.bound_variance`, or what was trained."""
    asked = (config.get("evaluation") or {}).get("bound_variance")
    if asked is None:
        return learned or "fixed_small"
    pick("evaluation.bound_variance", asked, forward.VARIANCES)
    if noise.num_steps is None:
        raise ValueError("evaluation.bound_variance is of the bound of a chain, which this schedule is not")
    if asked.startswith("learned") and learned is None:
        raise ValueError(
            f"evaluation.bound_variance={asked!r} needs a network trained for it (objective.loss)"
        )
    return asked
