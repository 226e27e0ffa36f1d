"""The settings of an evaluation, `config.evaluation`, checked before any work begins."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from ml_collections import ConfigDict

from diffjax.evaluation.dequantiser import DEQUANTISATIONS
from diffjax.evaluation.evaluators import NAMES
from diffjax.process.forward import VARIANCES
from diffjax.systems.options import nearest, optional_section, pick
from diffjax.training.workdir import flat

_FEWEST = 10
_LEAST = {
    "num_samples": _FEWEST,
    "batch_size": 1,
    "bound_images": 0,
    "reference": _FEWEST,
    "captions": _FEWEST,
}
_DEFAULTS = {
    "batch_size": 256, "bound_images": 0, "sweep_steps": (), "arms": (), "features": "classifier",
    "reference": 10_000, "dequantisation": "uniform", "captions": 200, "caption_array": "caption",
}  # fmt: skip
_KEYS = (*_DEFAULTS, "num_samples", "guidance_weights", "evaluators", "bound_variance", "judge")


def read(config: ConfigDict, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read `config.evaluation`.

    Args:
      config: of a run; it may have no such section.
      given: settings in the place of the config's; None keeps what it says.

    Returns:
      The settings with their defaults. `num_samples`, `guidance_weights`, `evaluators` and `bound_variance`
      have none. `arms` are pairs of a title and {dotted key: value}.

    Raises:
      ValueError: naming the key that does not exist, or whose value does not fit.
    """
    settings = optional_section(config, "evaluation")
    for key in settings:
        if key not in _KEYS:
            raise ValueError(f"config.evaluation has no key {key!r}{nearest(key, _KEYS)}")
    settings |= {key: value for key, value in (given or {}).items() if value is not None}
    settings = _DEFAULTS | {key: value for key, value in settings.items() if value is not None}
    for key, least in _LEAST.items():
        if key in settings and not _whole(settings[key], least):
            raise ValueError(
                f"evaluation.{key} must be an integer of at least {least}, got {settings[key]!r}"
            )
    weights, steps = settings.get("guidance_weights", (0.0,)), settings["sweep_steps"]
    if not (isinstance(weights, list | tuple) and weights and all(map(_number, weights))):
        raise ValueError(f"evaluation.guidance_weights must be numbers such as (0.0, 0.5), got {weights!r}")
    if not (isinstance(steps, list | tuple) and all(_whole(each, 1) for each in steps)):
        raise ValueError(f"evaluation.sweep_steps must be integers such as (5, 10, 50), got {steps!r}")
    evaluators = settings.get("evaluators", ())
    if not isinstance(evaluators, list | tuple):
        raise ValueError(
            f"evaluation.evaluators must be names such as ('frechet', 'prdc'), got {evaluators!r}"
        )
    for name in evaluators:
        pick("evaluation.evaluators", name, dict.fromkeys(NAMES))
    pick("evaluation.dequantisation", settings["dequantisation"], DEQUANTISATIONS)
    if "bound_variance" in settings:
        pick("evaluation.bound_variance", settings["bound_variance"], VARIANCES)
    return settings | {"arms": _arms(settings["arms"])}


def _arms(given: Any) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Read arms: {title: {dotted key: value}}, or a list of such dicts with a "title" among the keys."""
    if isinstance(given, Mapping | ConfigDict):
        given = dict(given.items())
        given = [{"title": title, **(flat(changes) if changes else {})} for title, changes in given.items()]
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, Mapping | ConfigDict) for each in given
    ):
        raise ValueError(
            "evaluation.arms must be dicts such as {'title': 'w = 1', 'sampler.guidance_weight': 1.0}, got "
            f"{given!r}"
        )
    arms = [dict(each) for each in given]
    titles = [each.pop("title", None) for each in arms]
    if not all(isinstance(title, str) and title.strip() for title in titles) or len(set(titles)) < len(
        titles
    ):
        raise ValueError(f"evaluation.arms must have titles of their own, got {titles}")
    for title, each in zip(titles, arms):
        if not each:
            raise ValueError(
                f"evaluation.arms: {title!r} changes nothing; give dotted keys such as sampler.steps"
            )
    return tuple(zip(titles, arms))


def _whole(value, least):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def _number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
