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
with a `log_prob`, asked by its own request; its noise schedule may be another one.

A denoiser of latents is steered by a classifier of the same latents (`config.system = "latent"`,
`latents.system = "classifier"`), which knows noise and needs no decoding, or with `classifier_of_x0` by one
of pictures: it is asked about the decoded x_0, and every step pays for the decoder, there and back. See
`systems.steering`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from diffjax import guidance, samplers
from diffjax.process.schedules import Schedule
from diffjax.systems import pipeline, read, steering
from diffjax.systems.options import named, number, pick, require
from diffjax.systems.stages import Stage
from diffjax.systems.steering import DENOISER, told
from diffjax.training.system import System, Variables

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
    noise = steering.schedule_of(stages)
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
      schedule: of the denoiser.
      sampler: `read.Sampler`; guidance away from the denoiser's null comes before the shift, the rest after.
      scale: s of `guidance.classifier`; 0 does not call the classifier.
      of_x0: the gradient is that at the predicted x_0, which is data: of the least noise that the classifier
        knows. A classifier of pictures sees that of latents decoded.
      shifted: `mean_shift=gradient` -> the solver that shifts its mean by it; None shifts eps.

    Returns:
      A System whose frozen variables are {stage: Variables} and whose request is {stage: request}, made of
      one raw input as a pipeline's. The condition of its `denoiser` is {stage: condition}; where the mean is
      shifted, that denoiser is not guided.

    Raises:
      ValueError: if one stage cannot do its part, or they have no space in common.
    """
    own, guide = stages[DENOISER].system, stages[CLASSIFIER].system
    steering.require_steerable(own)
    if guide.log_prob is None:
        raise ValueError("config.classifier must be a run of a system with log_prob, such as 'classifier'")
    look = steering.look(stages, CLASSIFIER, schedule, of_x0, "sampler.classifier_of_x0")
    shape = own.example["x"].shape[1:]

    def slope(seen, variables):
        log_prob = guide.log_prob(variables)
        return guidance.gradient_of(lambda x, level, cond: log_prob(*seen(x, level), told(cond, CLASSIFIER)))

    def mean_shift(x_t, level, cond):
        # the variables are not in a closure of the solver's, which outlives the trace
        return scale * slope(look(Variables()), cond[_VARIABLES])(x_t, level, cond)

    solver = shifted(mean_shift=mean_shift) if shifted and scale else None

    def denoiser(v, key=None, guides=(), changes=tuple(sampler.cuts)):
        plain = guidance.chain(*guides)(own.denoiser(v.frozen[DENOISER], key))
        shift = guidance.classifier(slope(look(v), v.frozen[CLASSIFIER]), scale, of_x0=of_x0)
        return steering.steered(plain, [] if shifted or not scale else [shift], changes)

    def encode(variables, request, keep=None):
        return {
            name: each.system.request.encode(variables.frozen[name], request[name], keep)
            for name, each in stages.items()
        }

    made = steering.made_of(
        stages,
        sampler,
        schedule,
        tell=lambda v, asked: {**encode(v, asked), _VARIABLES: v.frozen[CLASSIFIER]},
        denoiser=lambda v, keys, guides, changes: denoiser(v, None, guides, changes),
        calls=steering.calls(stages, CLASSIFIER, sampler, bool(scale)),
        solver=solver,
        example={**guide.example, **own.example},
        request=sampler.asks(pipeline.requests(stages)._replace(encode=encode), shape, own.gives),
    )
    return made._replace(denoiser=denoiser)


def _shifted_mean(own, of_x0):
    """Return `mean_shift=gradient` -> ancestral sampling with it, of the options of `config.sampler`."""
    corrector = named(own.get("corrector"), "sampler.corrector")[0]
    if own["solver"] != "ancestral" or corrector is not None:
        raise ValueError(
            "sampler.classifier_shift='mean' needs sampler.solver='ancestral' without a corrector, got "
            f"{own['solver']!r}" + (f" with {corrector!r}" if corrector else "")
        )
    if of_x0:
        raise ValueError("sampler.classifier_of_x0 must be left out with sampler.classifier_shift='mean'")
    return partial(samplers.ancestral, **{name: own[name] for name in ("variance",) if name in own})
