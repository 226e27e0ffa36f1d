"""How strong guidance is, as a config says it: a number, or a section of `guidance.strengths`.

config.sampler.guidance_weight = {"name": "linear", "first": 0.0, "last": 4.0}  # from most noise to least
config.sampler.guidance_weight = {"name": "cosine", "first": 0.0, "last": 4.0, "exponent": 2.0}
config.sampler.guidance_weight = {"name": "levels", "at": ((0.2, 0.0), (1.0, 3.0), (5.0, 0.0))}
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from diffjax.guidance import strengths
from diffjax.process.level import NoiseLevel
from diffjax.process.schedules import Schedule
from diffjax.systems.options import call, is_section, named, number, pick
from diffjax.types import ArrayLike


@dataclasses.dataclass(frozen=True)
class OfLevel:
    """A strength of the noise level, as a section says it.

    Attributes:
      said: the section.
      of: level -> number.
    """

    said: Mapping[str, Any]
    of: Callable[[NoiseLevel], ArrayLike]

    def __call__(self, level: NoiseLevel) -> ArrayLike:
        """Return the strength at a level."""
        return self.of(level)

    def __repr__(self) -> str:
        return repr(dict(self.said))


Strength = float | OfLevel
_OF_LEVEL = {  # name -> the function, and whether it goes over the time of a schedule
    "linear": (strengths.linear, True),
    "power": (strengths.power, True),
    "cosine": (strengths.cosine, True),
    "levels": (strengths.levels, False),
}


def strength(field: str, value: Any, noise: Schedule) -> Strength:
    """Return what a config says of how strong guidance is: a number, or a section of `guidance.strengths`.

    Args:
      field: for messages.
      value: the number, or {"name": "linear", "first": 0.0, "last": 3.0}, "cosine", "power" or "levels".
      noise: the schedule, over whose time it goes.
    """
    if not is_section(value):
        return number(field, value)
    name, options = named(value, field)
    make, over_time = pick(field, name, _OF_LEVEL)
    return OfLevel(dict(value), call(field, make, options, *([noise] if over_time else [])))
