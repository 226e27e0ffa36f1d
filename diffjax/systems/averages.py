"""The moving averages that `config.training.ema` names."""

from typing import Any

from ml_collections import ConfigDict

from diffjax.systems.options import call, is_section, pick, require, section
from diffjax.training import ema

_RULES = {
    "constant": ema.constant,
    "warmed_up": ema.warmed_up,
    "inverse_power": ema.inverse_power,
    "half_life": ema.half_life,
    "power": ema.power,
}


def averages(config: ConfigDict) -> dict[str, ema.Decay]:
    """Build the decay rules of `config.training.ema`: one section, or one for each track by its name."""
    given = section(config, "training.ema")
    if not given or "name" in given or not all(map(is_section, given.values())):
        return {ema.TRACK: _average(config, "training.ema", given)}
    rules = {name: _average(config, f"training.ema.{name}", dict(each)) for name, each in given.items()}
    return call("training.ema", ema.tracks, {}, rules)


def _average(config, field: str, options: dict[str, Any]) -> ema.Decay:
    if options.get("name") is None:
        raise ValueError(f"config.{field}.name is missing")
    name = options.pop("name")
    rule, own = pick(f"{field}.name", name, _RULES), {}
    if rule is ema.half_life:  # which is told in images
        require(config, "training.batch_size")
        own = {"batch_size": config.training.batch_size}
    return call(field, rule, options, **own)
