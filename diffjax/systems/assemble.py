"""The one place where the strings of a config become functions."""

import inspect

import numpy as np

from diffjax import data, guidance, models, objectives, samplers
from diffjax.objectives import weightings
from diffjax.process import continuous_elbo, forward, prediction, schedules
from diffjax.systems import ddpm, ebm, ncsn, vdm
from diffjax.systems.options import call, chosen, fill, named, optional, pick, require, section
from diffjax.training import ema, optimizer

_SCHEDULES = {
    name: getattr(schedules, name)
    for name in (
        *("linear_beta", "cosine_beta", "scaled_linear", "sigmoid_beta", "geometric"),
        *("vp_linear", "sub_vp", "vp_cosine", "log_snr_linear", "ve", "edm", "rectified_flow"),
    )
}
_MODELS = {
    "unet": models.UNet,
    "mlp": models.MLP,
    "refinenet": models.RefineNet,
    "conv_energy": models.ConvEnergy,
}
_SOLVERS = {
    name: getattr(samplers, name)
    for name in (
        *("ancestral", "ddim", "euler", "heun", "edm_heun", "dpm_solver_pp"),
        *("dpm_solver", "dpm_solver_pp_single", "dpm_solver_single", "dpm_solver_pp_2s", "dpm_solver_pp_sde"),
        *("dpm_2", "dpm_2_ancestral", "unipc", "deis", "lms", "pndm", "edm_euler", "euler_ancestral"),
        *("euler_maruyama", "reverse_diffusion", "annealed_langevin"),
    )
}
_CORRECTORS = {"langevin": samplers.langevin, "ald": samplers.ald}
_WEIGHTINGS = {
    name: getattr(weightings, name)
    for name in (
        *("snr", "snr_plus_one", "truncated_snr", "min_snr", "soft_min_snr", "p2", "edm", "sigmoid"),
        "likelihood",
    )
}
_PRECONDITIONINGS = {
    "edm": prediction.edm_preconditioning,
    "vp": prediction.vp_preconditioning,
    "iddpm": prediction.iddpm_preconditioning,
    "ve": prediction.ve_preconditioning,
}
_LOSSES = {"simple": ddpm.simple, "bound": ddpm.bound, "hybrid": ddpm.hybrid}
_TIMES = {
    "uniform": objectives.uniform,
    "low_discrepancy": objectives.low_discrepancy,
    "uniform_log_snr": objectives.uniform_log_snr,
    "second_moment": objectives.uniform,  # until there is a history to draw by, see `ddpm.ddpm`
    "log_normal": objectives.log_normal,
    "logit_normal": objectives.logit_normal,
}
_MATCHINGS = {"denoising": ebm.denoising, "implicit": ebm.implicit, "sliced": ebm.sliced}
_STARTS = {"persistent": ebm.persistent, "data": ebm.at_data, "afresh": ebm.afresh}
_THRESHOLDS = {"static": guidance.clip, "dynamic": guidance.dynamic_threshold}
_EMA = {"constant": ema.constant, "warmed_up": ema.warmed_up, "inverse_power": ema.inverse_power}


def build(config):
    """Build the system that a config names.

    Args:
      config: ConfigDict with `system`, `data`, `schedule`, `model`, `objective` and `sampler`.

    Returns:
      A System, see `diffjax.training.System`.

    Raises:
      ValueError: naming the field, for an unknown name or option, or options that do not fit.
    """
    require(config, "system", "data.name", "data.shape", "model.name", "objective", "sampler")
    return pick("system", config.system, _SYSTEMS)(config)


def _ddpm(config):
    noise = schedule(config)
    options = section(config, "objective")
    _check_kind(options, noise)
    draw_times = options.pop("times", "uniform")
    scales = preconditioning(config, noise)
    options.pop("preconditioning", None)
    loss = _loss(options, noise, scales)
    num_classes = _num_classes(config)
    _check_model_classes(config, num_classes, options.get("label_dropout", 0.0))
    solver, times, guidance_weight, threshold = sampler(config, noise)
    return fill(
        "objective", ddpm.ddpm, options, network(config), noise, solver, times,
        shape=tuple(config.data.shape), num_classes=num_classes, preconditioning=scales, loss=loss,
        draw_times=_draw_times(draw_times, noise),
        importance=named(draw_times)[0] == "second_moment",
        guidance_weight=guidance_weight, threshold=threshold,
    )  # fmt: skip


def _loss(options, noise, scales):
    """Take the loss out of the options of `config.objective`."""
    name, kind = options.pop("loss", "simple"), options.get("kind", "eps")
    own = {key: options.pop(key) for key in ("weighting", "variance", "bound_weight") if key in options}
    weighting = optional("objective.weighting", own.pop("weighting", None), _WEIGHTINGS)
    own |= {} if weighting is None else {"weighting": weighting}
    make = pick("objective.loss", name, _LOSSES)
    if name == "simple":
        make, reading = (ddpm.preconditioned, scales) if scales else (make, kind)
        return call("objective", make, own, reading)
    if scales:
        raise ValueError(f"objective.loss={name!r} is not for a preconditioned network; its loss is 'simple'")
    if not isinstance(noise, schedules.Chain):
        raise ValueError(f"objective.loss={name!r} needs a chain, and schedule.name is continuous")
    if own.get("variance", "learned_range") not in forward.VARIANCES:
        raise ValueError(
            f"objective.variance must be one of {', '.join(forward.VARIANCES)}; got {own['variance']!r}"
        )
    return call("objective", make, {"variance": "learned_range"} | own, kind, num_steps=noise.num_steps)


def _ncsn(config):
    noise, options = schedule(config), section(config, "objective")
    _check_kind(options, noise)
    solver, times, weight, threshold = sampler(config, noise)
    if weight or threshold:
        raise ValueError("sampler.guidance_weight and sampler.threshold are not for system 'ncsn'")
    return fill(
        "objective", ncsn.ncsn, options, network(config), noise, solver, times,
        shape=tuple(config.data.shape),
    )  # fmt: skip


def _ebm(config):
    options, walk = section(config, "objective"), section(config, "sampler")
    if config.get("schedule") is not None:
        raise ValueError("config.schedule is not for system 'ebm', whose energy has no noise levels")
    if walk.pop("guidance_weight", 0.0):
        raise ValueError("sampler.guidance_weight is not for system 'ebm'")
    chain_of_sample, shape = call("sampler", ebm.langevin, walk), tuple(config.data.shape)
    losses = _MATCHINGS | {"contrastive_divergence": _contrastive_divergence}
    matching = chosen("objective.loss", options.pop("loss", "contrastive_divergence"), losses)
    if matching is not None:
        return fill(
            "objective", ebm.score_matched, options, network(config), matching, chain_of_sample, shape=shape
        )
    starts = chosen("objective.starts", options.pop("starts", "persistent"), _STARTS)
    own = [key for key in inspect.signature(ebm.langevin).parameters if key in options]
    chain = call("objective", ebm.langevin, {key: options.pop(key) for key in own})
    return fill("objective", ebm.ebm, options, network(config), starts, chain, chain_of_sample, shape=shape)


def _contrastive_divergence():
    """Return no matching: training is by chains."""


def _vdm(config):
    clock, num_classes = _clock(config), _num_classes(config)
    options = section(config, "objective")
    _check_kind(options, clock.start)
    _check_model_classes(config, num_classes, 0.0)
    solver, times, weight, threshold = sampler(config, clock.start)
    if weight:
        raise ValueError("sampler.guidance_weight is not for system 'vdm'")
    shape = tuple(config.data.shape)
    values = continuous_elbo.EIGHT_BITS if len(shape) == 3 else None  # points are not discrete
    return fill(
        "objective", vdm.vdm, options, network(config), clock, solver, times,
        shape=shape, num_classes=num_classes, values=values, threshold=threshold,
    )  # fmt: skip


def _clock(config):
    require(config, "schedule.name")
    if config.schedule.name == "learned":
        return call("schedule", vdm.trained, section(config, "schedule", "name"))
    noise = schedule(config)
    if isinstance(noise, schedules.Chain):
        raise ValueError(f"system 'vdm' needs a continuous schedule, and {config.schedule.name!r} is a chain")
    return vdm.fixed(noise)


_SYSTEMS = {"ddpm": _ddpm, "ncsn": _ncsn, "ebm": _ebm, "vdm": _vdm}


def denoiser(config):
    """Build params -> Denoiser, the network that `build` trains, without guidance or thresholds."""
    kind = config.objective.get("kind", "eps")
    if config.system == "vdm":
        return vdm.denoiser(network(config), kind)
    noise = schedule(config)
    return ddpm.denoiser(network(config), noise, kind, preconditioning(config, noise))


def levels(config):
    """Build params -> schedule: a VDM's may be trained, the others' is that of `config.schedule`."""
    if config.system == "vdm":
        clock = _clock(config)
        return lambda params: clock.schedule(params["schedule"])
    noise = schedule(config)
    return lambda params: noise


def preconditioning(config, noise):
    """Build the preconditioning of `config.objective` for levels of the schedule `noise`, or None.

    "vp" and "iddpm" tell the network the time of a schedule, which is the run's own.
    """
    value = config.objective.get("preconditioning")
    name, options = named(value)
    if name is None:
        return None
    if "kind" in config.objective:
        raise ValueError("objective.kind and objective.preconditioning exclude each other: give one")
    make = pick("objective.preconditioning", name, _PRECONDITIONINGS)
    if name in ("edm", "ve"):
        return call("objective.preconditioning", make, options)
    needed = schedules.Chain if name == "iddpm" else schedules.Continuous
    if not isinstance(noise, needed):
        kind = "chain" if name == "iddpm" else "continuous schedule"
        raise ValueError(
            f"objective.preconditioning={name!r} needs a {kind}, which {config.schedule.name!r} is not"
        )
    return call("objective.preconditioning", make, options, noise)


def network(config):
    """Build the Flax module of `config.model`."""
    make = pick("model.name", config.model.name, _MODELS)
    return call("model", make, section(config, "model", "name"))


def schedule(config):
    """Build the noise schedule of `config.schedule`; its `shift` is the factor of `schedules.shifted`.

    Raises:
      ValueError: for one that does not exist by itself, a VDM's "learned" (see `levels`).
    """
    require(config, "schedule.name")
    if config.schedule.name == "learned":
        raise ValueError("schedule.name='learned' is trained with the network: it needs system 'vdm'")
    make = pick("schedule.name", config.schedule.name, _SCHEDULES)
    noise = call("schedule", make, section(config, "schedule", "name", "shift"))
    return schedules.shifted(noise, config.schedule.shift) if "shift" in config.schedule else noise


def sampler(config, noise):
    """Build what `config.sampler` names.

    `sampler.steps` is of the time grid; a solver's own `steps` at each level are `sampler.steps_per_level`.

    Returns:
      Solver, time grid, guidance weight, and the thresholding transformation or None.
    """
    require(config, "sampler.solver", "sampler.steps")
    options = section(config, "sampler")
    solver = pick("sampler.solver", options.pop("solver"), _SOLVERS)
    times = time_grid(noise, options.pop("steps"), options.pop("grid", "uniform"))
    if "steps_per_level" in options:
        options["steps"] = options.pop("steps_per_level")
    weight = options.pop("guidance_weight", 0.0)
    threshold = optional("sampler.threshold", options.pop("threshold", None), _THRESHOLDS)
    corrector = optional("sampler.corrector", options.pop("corrector", None), _CORRECTORS)
    solver = call("sampler", solver, options)
    if corrector is not None:
        solver = samplers.predictor_corrector(solver, corrector)
    call("sampler", samplers.plan, {}, noise, solver, times)  # what it refuses is no fault of the objective
    return solver, times, weight, threshold


def network_calls(config):
    """Return how many times `sample` of this config calls the network for each sample, unguided."""
    if config.system == "ebm":
        return config.sampler.steps
    noise = _clock(config).start if config.system == "vdm" else schedule(config)
    solver, times, _, _ = sampler(config, noise)
    return samplers.network_calls(solver, samplers.plan(noise, solver, times))


def time_grid(noise, steps, grid):
    """Make the grid of `steps` steps ("uniform", "quadratic", "karras", "log_snr", or chains' "spaced")."""
    chain = isinstance(noise, schedules.Chain)
    if grid != "spaced" and (not isinstance(steps, int) or steps < 2):
        raise ValueError(
            f"sampler.steps must be an integer of at least 2 (sections need grid 'spaced'), got {steps!r}"
        )
    t_min, t_max = (0, noise.num_steps) if chain else (0.0, noise.t_max)
    if chain and grid in ("uniform", "quadratic") and steps > noise.num_steps:
        raise ValueError(
            f"sampler.steps must be at most {noise.num_steps}, the steps of the chain; got {steps}"
        )

    def quadratic():
        times = samplers.grids.quadratic(steps, t_min, t_max)
        return samplers.grids.distinct(times) if chain else times

    # a schedule that starts at a noise level of its own ends there, not on data one step below
    ends_noisy = not chain and noise.t_min == 0

    def karras():
        least, most = (noise(t) for t in ((1, noise.num_steps) if chain else (noise.t_min, noise.t_max)))
        # sigma/alpha of a chain's last steps runs off to 1e4 and more, where x is noise already
        with np.errstate(divide="ignore"):  # alpha = 0 is infinite noise
            ends = least.sigma / least.alpha, min(most.sigma / most.alpha, 80.0)
        levels = samplers.grids.karras(steps + ends_noisy, *ends)
        times = np.minimum(noise.inv_sigma(levels[:-1] if ends_noisy else levels), noise.t_max)
        times[-1] = 0
        return samplers.grids.distinct(times) if chain else times

    def log_snr():
        if ends_noisy:
            return samplers.grids.log_snr(steps, noise)
        return np.append(samplers.grids.log_snr(steps - 1, noise), 0)

    if grid == "spaced" and not chain:
        raise ValueError("sampler.grid='spaced' respaces a chain, and schedule.name is continuous")
    make = {
        "uniform": lambda: samplers.grids.uniform(steps, t_min, t_max),
        "quadratic": quadratic,
        "log_snr": log_snr,
        "karras": karras,
        "spaced": lambda: samplers.grids.spaced(noise.num_steps, steps),
    }
    return pick("sampler.grid", grid, make)()


def make_optimizer(config):
    """Build the optimizer of `config.optimizer`, for `config.training.num_steps` updates."""
    require(config, "optimizer", "training.num_steps")
    options = section(config, "optimizer")
    return call("optimizer", optimizer.make, options, num_steps=config.training.num_steps)


def make_ema(config):
    """Build the decay rule of `config.training.ema`."""
    require(config, "training.ema.name")
    options = dict(config.training.ema)
    return call("training.ema", pick("training.ema.name", options.pop("name"), _EMA), options)


def load_data(config, split):
    """Load a split of the data that `config.data` names, and check it against the config.

    Raises:
      ValueError: if the examples have another shape or more classes than the config says.
    """
    require(config, "data.name", "data.shape")
    options = section(config, "data", "name", "shape", "num_classes", "flip")
    source = data.load(config.data.name, split, **options)
    if tuple(source.shape) != tuple(config.data.shape):
        raise ValueError(
            f"data.shape is {tuple(config.data.shape)}, but {source.name} has {tuple(source.shape)}"
        )
    if config.data.get("num_classes") and (source.num_classes or 0) > config.data.num_classes:
        raise ValueError(
            f"data.num_classes is {config.data.num_classes}, but {source.name} has {source.num_classes}"
        )
    return source


def _num_classes(config):
    if not config.model.get("num_classes"):
        return None
    require(config, "data.num_classes")
    return config.data.num_classes


def _check_kind(options, noise):
    if "kind" in options:
        pick("objective.kind", options["kind"], dict.fromkeys(prediction.KINDS))
    if options.get("kind") == "mean" and not isinstance(noise, schedules.Chain):
        raise ValueError("objective.kind='mean' needs a chain, and schedule.name is continuous")


def _check_model_classes(config, num_classes, label_dropout):
    if num_classes is None:
        if label_dropout:
            raise ValueError("objective.label_dropout needs a class-conditional model (model.num_classes)")
        return
    wanted = num_classes + (label_dropout > 0)
    if config.model.num_classes != wanted:
        null = " (one more for the null label of label_dropout)" if label_dropout > 0 else ""
        raise ValueError(f"model.num_classes must be {wanted}{null}, got {config.model.num_classes}")


def _draw_times(value, noise):
    (name, options), chain = named(value), isinstance(noise, schedules.Chain)
    make = pick("objective.times", "none" if name is None else name, _TIMES)
    if name not in ("log_normal", "logit_normal"):
        return call("objective.times", make, options, noise)
    fits = not chain and (np.isinf(noise.t_end or 0) if name == "log_normal" else noise.t_max == 1)
    if not fits:
        raise ValueError(
            f"objective.times={name!r} does not fit the schedule: log_normal is for edm, "
            "logit_normal for t in [0, 1]"
        )
    return call("objective.times", make, options)
