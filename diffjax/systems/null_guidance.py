"""How `config.sampler` guides away from nothing: which guidance, at which noise levels, rescaled or not.

    config.sampler.guidance_weight = 2.0  # w; 0 is none, whatever follows says
    config.sampler.guidance = {"name": "apg", "threshold": 10.0}  # default "classifier_free"
    config.sampler.guidance_interval = (0.2, 5.0)  # of sigma / alpha
    config.sampler.guidance_rescale = 0.7  # phi

For "cfg_plus_plus" the weight is the paper's lambda, in (0, 1].
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffjax import guidance, samplers
from diffjax.guidance import Transformation
from diffjax.process.schedules import Schedule
from diffjax.systems.options import call, named, number, pick

Guide = Callable[[Any], Transformation]  # of the null

FIELDS = ("guidance", "guidance_interval", "guidance_rescale")
_GUIDES = {
    "classifier_free": guidance.classifier_free,
    "apg": guidance.apg,
    "cfg_plus_plus": guidance.cfg_plus_plus,
}


def guide(options: dict[str, Any], weight: float, noise: Schedule, kind: str | None) -> Guide:
    """Take what guides out of the options of `config.sampler`.

    Args:
      options: of the section, with "solver" and "threshold"; `FIELDS` are taken out.
      weight: `sampler.guidance_weight`.
      noise: the schedule, in which an interval must lie.
      kind: of the network's output, which is what is rescaled; None for a preconditioned network.

    Returns:
      null -> Transformation.

    Raises:
      ValueError: naming the field, also where the weight is 0.
    """
    asked, interval, phi = (options.pop(field, None) for field in FIELDS)
    name, own = named("classifier_free" if asked is None else asked)
    make = pick("sampler.guidance", "none" if name is None else name, _GUIDES)
    strength = {"weight": weight}
    if name == "cfg_plus_plus":
        _require_both_used(options, phi)
        strength = {"scale": number("sampler.guidance_weight (lambda of cfg_plus_plus)", weight, 0, 1)}

    def made(null):
        found = call("sampler.guidance", make, own, **strength, null=null)
        if phi is not None:
            found = call("sampler.guidance_rescale", guidance.rescale, {}, found, phi, _rescaled(kind))
        if interval is None:
            return found
        lo, hi = _ends(interval)
        return call("sampler.guidance_interval", guidance.interval, {}, found, lo, hi, schedule=noise)

    if phi is not None:
        number("sampler.guidance_rescale", phi, 0, 1)
    made(0)  # refuses now what it would refuse later
    return made


def network_calls(solver: samplers.Solver, rows: samplers.Rows, made: Guide) -> int:
    """Return the network calls a sample, of a walk that is guided: each step of an interval by itself."""
    of_one = made(jnp.zeros((), jnp.int32))  # a step costs what its level says, whatever the condition is
    x, cond = jax.ShapeDtypeStruct((1, 1), jnp.float32), jnp.zeros(1, jnp.int32)
    return samplers.network_calls(solver, rows, of_one, x, cond)


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
    threshold, how = named(options.get("threshold"))
    if threshold is not None and not how.get("keep_eps"):
        raise ValueError(
            "sampler.threshold must keep the eps of sampler.guidance='cfg_plus_plus': give "
            f"{{'name': {threshold!r}, 'keep_eps': True}}, or none"
        )
    if (options.get("edit") or {}).get("mask"):
        raise ValueError("sampler.edit.mask must be left out with sampler.guidance='cfg_plus_plus'")
    if phi is not None:
        raise ValueError("sampler.guidance_rescale must be left out with sampler.guidance='cfg_plus_plus'")
