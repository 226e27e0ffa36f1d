"""How `config.sampler` guides away from nothing, or from a weaker run: by what, at which levels, rescaled.

    config.sampler.guidance_weight = 2.0  # w; 0 is none, whatever follows says
    config.sampler.guidance_weight = {"name": "cosine", "first": 0.0, "last": 4.0}  # over the noise levels
    config.sampler.guidance = {"name": "apg", "threshold": 10.0}  # default "classifier_free"
    config.sampler.guidance = {"name": "autoguidance", "workdir": "runs/weaker"}  # in the null's place
    config.sampler.guidance_interval = (0.2, 5.0)  # of sigma / alpha
    config.sampler.guidance_rescale = 0.7  # phi
    config.sampler.guidance_scales = {"label": 3.0, "text": 1.5}  # in the place of the weight: one a part

A weight or a scale is a number, or grows and falls with the noise, by a name of `guidance.strengths`. For
"cfg_plus_plus" the weight is the paper's lambda, in (0, 1]. Of scales each part counts by itself, as in
`guidance.compose_conditions`: s = 1 + w, and 0 leaves it out. What is not named is told to every prediction,
to the null as well.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import guidance, samplers
from diffjax.guidance import Transformation
from diffjax.guidance.interval import ends
from diffjax.process.prediction import Denoiser
from diffjax.process.schedules import Schedule
from diffjax.systems.options import call, is_section, named, number, pick
from diffjax.systems.requests import nothing
from diffjax.systems.strengths import OfLevel, Strength, strength
from diffjax.training.system import Conditioning, Request, Variables

Guide = Callable[[Any], Transformation]  # of the null

_OWN = ("guidance", "guidance_interval", "guidance_rescale")
AUTO = "autoguidance"
_OF_RUN = ("workdir", "ema", "step")  # of the weaker run
FIELDS = (*_OWN, "guidance_scales")
_OF_ONE = ("guidance", "guidance_rescale")  # of one condition, and its null
_GUIDES = {
    "classifier_free": guidance.classifier_free,
    "apg": guidance.apg,
    "cfg_plus_plus": guidance.cfg_plus_plus,
    AUTO: guidance.autoguidance,
}


def scales(options: dict[str, Any], weight: Strength, noise: Schedule) -> dict[str, Strength]:
    """Take `guidance_scales` out of the options of `config.sampler`: {part: scale}, empty for none.

    Raises:
      ValueError: naming the field, also for another one that says how strong guidance is.
    """
    given = options.pop("guidance_scales", None)
    if given is None:
        return {}
    if not is_section(given) or not given:
        told = "a section such as {'label': 3.0, 'text': 1.5}, a scale for each part"
        raise ValueError(f"sampler.guidance_scales must be {told}; got {given!r}")
    others = {"guidance_weight": weight or None} | {field: options.get(field) for field in _OF_ONE}
    for field, value in others.items():
        if value is not None:
            raise ValueError(f"sampler.{field} must be left out with sampler.guidance_scales, got {value!r}")
    return {part: strength(f"sampler.guidance_scales.{part}", each, noise) for part, each in given.items()}


def weaker(options: dict[str, Any], weight: Strength) -> dict[str, Any] | None:
    """Take the weaker run of autoguidance out of `guidance`: the section of a stage, or None.

    Raises:
      ValueError: for autoguidance without a run, or at s = 0, which is that run alone.
    """
    name, own = named(options.get("guidance"), "sampler.guidance")
    if name != AUTO:
        return None
    run = {field: own.pop(field) for field in _OF_RUN if field in own}
    options["guidance"] = {"name": name, **own}
    if not weight:
        return None
    if "workdir" not in run:
        raise ValueError("sampler.guidance.workdir must be the folder of the weaker run of autoguidance")
    if weight == -1:
        raise ValueError("sampler.guidance_weight must not be -1 with autoguidance: sample the weaker run")
    return run


def guide(
    options: dict[str, Any], weight: Strength, noise: Schedule, kind: str | None,
    each: Mapping[str, Strength] = {},
) -> Guide:  # fmt: skip
    """Take what guides out of the options of `config.sampler`.

    Args:
      options: of the section, with "solver" and "threshold"; all of `FIELDS` but the scales are taken out.
      weight: `sampler.guidance_weight`.
      noise: the schedule, in which an interval must lie.
      kind: of the network's output, which is what is rescaled; None for a preconditioned network.
      each: `scales`.

    Returns:
      null -> Transformation; of autoguidance in the null's place the denoiser of the weaker run.

    Raises:
      ValueError: naming the field, also where the weight is 0.
    """
    asked, interval, phi = (options.pop(field, None) for field in _OWN)
    name, own = named("classifier_free" if asked is None else asked, "sampler.guidance")
    make = pick("sampler.guidance", "none" if name is None else name, _GUIDES)
    how_much: dict[str, Any] = {"weight": weight}
    if each:
        make, how_much = guidance.compose_conditions, {"scales": tuple(each.values())}
    if name == "cfg_plus_plus":
        _require_both_used(options, phi)
        lambdas = weight(noise(np.linspace(*ends(noise), 100))) if isinstance(weight, OfLevel) else [weight]
        for least_or_most in (np.min(lambdas), np.max(lambdas)):
            number("sampler.guidance_weight (lambda of cfg_plus_plus)", float(least_or_most), 0, 1)
        how_much = {"scale": weight}

    def made(null):
        away = {"weak" if name == AUTO else "null": null}
        found = call("sampler.guidance", make, own, **how_much, **away)
        if phi is not None:
            found = call("sampler.guidance_rescale", guidance.rescale, {}, found, phi, _rescaled(kind))
        if interval is None:
            return found
        lo, hi = _ends(interval)
        return call("sampler.guidance_interval", guidance.interval, {}, found, lo, hi, schedule=noise)

    if phi is not None:
        number("sampler.guidance_rescale", phi, 0, 1)
    made(_untold if name == AUTO else 0)  # refuses now what it would refuse later
    return made


def check(sampler: Any, request: Conditioning) -> None:
    """Raise ValueError where guidance is asked of a model without a null, or of a part without one."""
    if sampler.weak is None:
        require_null(sampler.scales, sampler.guidance_weight, request)


def require_null(each: Mapping[str, Strength], weight: Strength, request: Conditioning) -> None:
    """Raise ValueError where scales or a weight are asked of a model without a null."""
    nulls = {name: part for name, part in request.parts.items() if part.drop > 0}
    if (weight or each) and not nulls:
        name, given = ("guidance_scales", dict(each)) if each else ("guidance_weight", weight)
        raise ValueError(
            f"{name} needs a class-conditional model trained with label_dropout > 0, or another condition "
            f"with a drop; got {given} without"
        )
    for part in each:
        pick("sampler.guidance_scales, of what training dropped,", part, nulls)


def told(
    each: Mapping[str, Strength], request: Conditioning, variables: Variables, asked: Request, n: int
) -> tuple[Any, Any]:
    """Return (cond, null) of a request of n samples: the condition, or with scales the sequence of them."""
    if not each:
        return request.encode(variables, asked), nothing(request, variables, asked, n)
    hide = lambda parts: request.encode(variables, asked, {part: jnp.zeros(n, bool) for part in parts})
    return [hide(other for other in each if other != part) for part in each], hide(each)


def walked(
    sampler: Any,
    request: Conditioning,
    variables: Variables,
    asked: Request,
    n: int,
    weak: Callable[[Variables, Request], Denoiser] | None = None,
) -> tuple[Any, list[Transformation]]:
    """Return the condition of a walk of n samples, and what guides it: one transformation, or none.

    Args:
      sampler: `read.Sampler`.
      request, variables: of the system that is sampled.
      asked: its request.
      n: samples.
      weak: (variables, request) -> denoiser of the weaker run, for autoguidance.
    """
    if not sampler.guides or sampler.weak is not None:
        cond = request.encode(variables, asked)
        return cond, [sampler.guided(weak(variables, asked))] if sampler.guides else []
    cond, null = told(sampler.scales, request, variables, asked, n)
    return cond, [sampler.guided(null)]


def network_calls(
    solver: samplers.Solver,
    rows: samplers.Rows,
    made: Guide,
    each: Mapping[str, Strength] = {},
    auto: bool = False,
) -> int:
    """Return the network calls a sample, of a walk that is guided: each step of an interval by itself.

    Args:
      solver, rows: that are walked.
      made: `guide`.
      each: `scales`.
      auto: whether a weaker network is called, whose calls are counted as well.
    """
    null = jnp.zeros((), jnp.int32)  # a step costs what its level says, whatever the condition is
    of_one = (lambda denoise: made(denoise)(denoise)) if auto else made(null)
    x, cond = jax.ShapeDtypeStruct((1, 1), jnp.float32), jnp.zeros(1, jnp.int32)
    return samplers.network_calls(solver, rows, of_one, x, [cond] * len(each) if each else cond)


def _untold(x_t, level, cond=None):
    raise AssertionError("stands for a weaker denoiser, and is not asked")


def _ends(interval):
    try:
        lo, hi = map(float, interval)
    except (TypeError, ValueError):
        told = "two numbers sigma / alpha such as (0.2, 5.0)"
        raise ValueError(f"sampler.guidance_interval must be {told}, got {interval!r}") from None
    return lo, hi


def _rescaled(kind):
    """Return the kind of output that is rescaled: the network's, but x_0 where its own has no standard."""
    return "x0" if kind in (None, "mean") else kind


def _require_both_used(options, phi):
    """Raise where the x_0 and eps of CFG++, which do not make x_t, are not used as they are."""
    if options["solver"] != "ddim":
        raise ValueError(
            "sampler.guidance='cfg_plus_plus' needs sampler.solver='ddim', which steps by x_0 and by eps; "
            f"got {options['solver']!r}"
        )
    threshold, how = named(options.get("threshold"), "sampler.threshold")
    if threshold is not None and not how.get("keep_eps"):
        raise ValueError(
            "sampler.threshold must keep the eps of sampler.guidance='cfg_plus_plus': give "
            f"{{'name': {threshold!r}, 'keep_eps': True}}, or none"
        )
    if (options.get("edit") or {}).get("mask"):
        raise ValueError("sampler.edit.mask must be left out with sampler.guidance='cfg_plus_plus'")
    if options.get("measurement") is not None:
        raise ValueError("sampler.measurement must be left out with sampler.guidance='cfg_plus_plus'")
    if phi is not None:
        raise ValueError("sampler.guidance_rescale must be left out with sampler.guidance='cfg_plus_plus'")
