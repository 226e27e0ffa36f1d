"""Classifier guidance: a trained denoiser steered by a trained classifier (Dhariwal & Nichol 2021, Alg. 2).

    config.denoiser = {"workdir": "runs/digits_unconditional"}
    config.classifier = {"workdir": "runs/digits_classifier"}
    config.sampler = {"solver": "ddim", "steps": 50, "classifier_scale": 3.0}
    config.sampler.classifier_of_x0 = True  # the gradient at the predicted x_0, carried back to x_t
    config.sampler.classifier_shift = "mean"  # of ancestral steps, Alg. 1, in the place of "eps"

A system without updates, made of two runs: its config alone is sampled and measured. The request is that of
both, so that a denoiser which knows no classes is asked for one, and a class-conditional one is asked for it
twice (the paper's ADM-G). One that was trained with a null is guided away from it as well, by
`sampler.guidance_weight` and what goes with it, before the classifier shifts it. What steers is any system
with a `log_prob`, asked by its own request.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from diffjax import guidance, samplers
from diffjax.process.schedules import Schedule
from diffjax.systems import null_guidance, pipeline, read, steering
from diffjax.systems.options import named, number, pick, require
from diffjax.systems.stages import Stage
from diffjax.systems.steering import DENOISER, told
from diffjax.training.system import Pass, System

SECTIONS = ("data", "denoiser", "classifier", "sampler")
IDENTITY = ("data",)

CLASSIFIER = "classifier"
FIELDS = ("classifier_scale", "classifier_of_x0", "classifier_shift")  # of config.sampler
_VARIABLES = "variables"  # of the classifier, in the condition of a walk
_SHIFTS = ("eps", "mean")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`; its data are those that it is measured with."""
    del folder
    require(config, *SECTIONS)
    stages = steering.stages_of(config, CLASSIFIER)
    own = config.sampler.to_dict()
    scale, of_x0, shift = (own.pop(field, default) for field, default in zip(FIELDS, (1.0, False, "eps")))
    number("sampler.classifier_scale", scale)
    if not isinstance(of_x0, bool):
        raise ValueError(f"sampler.classifier_of_x0 must be True or False, got {of_x0!r}")
    pick("sampler.classifier_shift", shift, dict.fromkeys(_SHIFTS))
    noise = steering.common_schedule(stages)
    sampler = steering.sampler_of(config, own, stages[DENOISER].system, noise)
    shifted = _shifted_mean(own, of_x0) if shift == "mean" else None
    return guided(stages, noise, sampler, scale, of_x0=of_x0, shifted=shifted)


def guided(
    stages: Mapping[str, Stage],
    schedule: Schedule,
    sampler: read.Sampler,
    scale: float = 1.0,
    *,
    of_x0: bool = False,
    shifted: Callable[..., samplers.Solver] | None = None,
) -> System:
    """Make the system.

    Args:
      stages: "denoiser", a system that has one, and "classifier", one with `log_prob`.
      schedule: of both.
      sampler: `read.Sampler`; guidance away from the denoiser's null comes before the shift, the rest after.
      scale: s of `guidance.classifier`; 0 does not call the classifier.
      of_x0: the gradient is that at the predicted x_0, which is data: of the least noise of the schedule.
      shifted: `mean_shift=gradient` -> the solver that shifts its mean by it; None shifts eps.

    Returns:
      A System whose frozen variables are {stage: Variables} and whose request is {stage: request}, made of
      one raw input as a pipeline's. The condition of its `denoiser` is {stage: condition}; where the mean is
      shifted, that denoiser is not guided.

    Raises:
      ValueError: if one stage cannot do its part, or their examples differ in shape.
    """
    own, guide = stages[DENOISER].system, stages[CLASSIFIER].system
    _require_parts(own, guide)
    steering.require_same_examples(stages)
    rows, shape = samplers.plan(schedule, sampler.solver, sampler.times), own.example["x"].shape[1:]
    least = schedule(schedule.t_min if schedule.num_steps is None else 1)

    def slope(variables):
        log_prob = guide.log_prob(variables)

        def of_class(x, level, cond):
            return log_prob(x, least if of_x0 else level, told(cond, CLASSIFIER))

        return guidance.gradient_of(of_class)

    def mean_shift(x_t, level, cond):
        return scale * slope(cond[_VARIABLES])(x_t, level, cond)

    solver = shifted(mean_shift=mean_shift) if shifted and scale else sampler.solver

    def denoiser(v, key=None, guides=(), changes=tuple(sampler.cuts)):
        plain = guidance.chain(*guides)(own.denoiser(v.frozen[DENOISER], key))
        shift = guidance.classifier(slope(v.frozen[CLASSIFIER]), scale, of_x0=of_x0)
        return steering.steered(plain, [] if shifted or not scale else [shift], changes)

    def encode(variables, request, keep=None):
        return {
            name: each.system.request.encode(variables.frozen[name], request[name], keep)
            for name, each in stages.items()
        }

    def walk(v, keys, asked, made):
        del made
        x = sampler.start(keys, schedule, (len(keys), *shape), asked)
        told_own, guides = null_guidance.walked(
            sampler, own.request, v.frozen[DENOISER], asked[DENOISER], len(keys)
        )
        # the classifier's variables are not in a closure of the solver's, which outlives the trace
        cond = {**encode(v, asked), DENOISER: told_own, _VARIABLES: v.frozen[CLASSIFIER]}
        denoise = denoiser(v, guides=guides, changes=sampler.changes(keys, asked))
        return samplers.walk(keys, denoise, solver, rows, x, cond=cond)

    calls = {DENOISER: sampler.network_calls()} | ({CLASSIFIER: sampler.calls} if scale else {})
    return pipeline.made_of(
        stages,
        example={**guide.example, **own.example},
        request=sampler.asks(pipeline.requests(stages)._replace(encode=encode), shape, own.gives),
        passes=(Pass("walk", walk, calls),),
        gives=own.gives,
        denoiser=denoiser,
        schedule=lambda v: schedule,
    )


def _shifted_mean(own, of_x0):
    """Return `mean_shift=gradient` -> ancestral sampling with it, of the options of `config.sampler`."""
    corrector = named(own.get("corrector"))[0]
    if own["solver"] != "ancestral" or corrector is not None:
        raise ValueError(
            "sampler.classifier_shift='mean' needs sampler.solver='ancestral' without a corrector, got "
            f"{own['solver']!r}" + (f" with {corrector!r}" if corrector else "")
        )
    if of_x0:
        raise ValueError("sampler.classifier_of_x0 must be left out with sampler.classifier_shift='mean'")
    return partial(samplers.ancestral, **{name: own[name] for name in ("variance",) if name in own})


def _require_parts(own, guide):
    if own.denoiser is None or len(own.passes) != 1:
        raise ValueError("config.denoiser must be a run with a denoiser, which samples by one walk of it")
    if guide.log_prob is None:
        raise ValueError("config.classifier must be a run of a system with log_prob, such as 'classifier'")
