"""Cascades: a picture that grows from stage to stage, each a trained run of its own (Ho et al. 2022).

    config.stages = {"base": {"workdir": "runs/base"}, "up": {"workdir": "runs/up", "sampler": {...}}}
    config.order = ("base", "up")  # a section has none of its own
    config.augmentation = {"up": {"level": 0.2, "truncated": False}}  # 0 where nothing is said
    config.batch_sizes = {"up": 16}  # samples of a stage at a time

A stage but the first is asked with a small picture, its part "image" (`conditions.low_resolution` or
`blurred`), and is handed what the one before it made. With augmentation it is noised first, by sqrt(1 - s^2)
x + s eps, at the level s that is chosen here, after training: eps is of the sample's own key. Truncated, the
stage before stops where its own x has that noise in it, and hands that on: the same law, if it is exact, and
fewer steps. What else a stage is asked, a text say, is made for each by itself of one raw input.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax.systems import small_pictures
from diffjax.systems.options import call, is_section, number, optional_section, pick, require, section
from diffjax.systems.pipeline import HandOn, pipeline
from diffjax.systems.stages import Stage, stage
from diffjax.training.system import Conditioning, System

SECTIONS = ("data", "stages", "order", "augmentation", "batch_sizes")
IDENTITY = ("data", "stages", "order")
IMAGE = "image"  # the part of a stage that is handed a picture


class Augmentation(NamedTuple):
    """What is done to a picture that is handed on.

    Attributes:
      level: s, the standard deviation of its noise, in [0, 1).
      truncated: the stage before stops there; otherwise noise is added to what it made.
    """

    level: float = 0.0
    truncated: bool = False


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`; its data are those that it is measured with."""
    del folder
    require(config, "data", "stages")
    names = ordered(config)
    asked = augmentations(config, names)
    return sized(cascade(stages_of(config, names, asked), asked), config)


def ordered(config: ConfigDict) -> list[str]:
    """Return the names of `config.stages` in the order of `config.order`."""
    names, order = list(section(config, "stages")), config.get("order")
    if not isinstance(order, list | tuple) or sorted(order) != sorted(names):
        raise ValueError(f"config.order must have each of {', '.join(names)} once, in order; got {order!r}")
    return list(order)


def cascade(stages: Mapping[str, Stage], augmentation: Mapping[str, Augmentation]) -> System:
    """Make the system.

    Args:
      stages: two or more, each but the first with a part "image" of what the one before it makes; one before
        a truncated one has `sampler.stop_at` of that level.
      augmentation: {stage: Augmentation}; none where a stage is not named.

    Raises:
      ValueError: naming the stage that does not fit the one before, or a level that it was not trained for.
    """
    if len(stages) < 2:
        raise ValueError(f"config.stages must name two runs or more, in order; got {', '.join(stages)}")
    names = list(stages)
    hands = {
        name: hand_on(name, stages[name].system, before, stages[before].system, augmentation.get(name))
        for before, name in zip(names, names[1:])
    }
    told = {name: each if name == names[0] else handed(each, IMAGE) for name, each in stages.items()}
    return pipeline(told, hands)


def augmentations(config: ConfigDict, names: list[str]) -> dict[str, Augmentation]:
    """Read `config.augmentation` of the stages of these names."""
    given = optional_section(config, "augmentation")
    for name, each in given.items():
        pick("config.augmentation", name, dict.fromkeys(names[1:]))
        if not is_section(each):
            told = "a section such as {'level': 0.2, 'truncated': False}"
            raise ValueError(f"config.augmentation.{name} must be {told}; got {each!r}")
    return {
        name: call(f"config.augmentation.{name}", _augmentation, dict(each)) for name, each in given.items()
    }


def _augmentation(level: float = 0.0, truncated: bool = False) -> Augmentation:
    number("level", level)
    if not 0 <= level < 1:
        raise ValueError(f"level must be in [0, 1), got {level}")
    if not isinstance(truncated, bool):
        raise ValueError(f"truncated must be True or False, got {truncated!r}")
    return Augmentation(level, truncated and level > 0)


def stages_of(
    config: ConfigDict, names: list[str], augmentation: Mapping[str, Augmentation]
) -> dict[str, Stage]:
    """Return the stages of a config, of these names in order; one before a truncated one stops early."""
    given, made = section(config, "stages"), {}
    for name, after in zip(names, [*names[1:], None]):
        own = augmentation.get(after or "", Augmentation())
        made[name] = stage(_stopped(given[name], own), None, f"stages.{name}")
    return made


def _stopped(given: Any, augmentation: Augmentation) -> Any:
    if not augmentation.truncated or not is_section(given):
        return given
    return {**given, "sampler": {**given.get("sampler", {}), "stop_at": augmentation.level}}


def sized(system: System, config: ConfigDict) -> System:
    """Return a pipeline whose passes have the batch sizes of `config.batch_sizes`, {stage: samples}."""
    given = optional_section(config, "batch_sizes")
    for name, size in given.items():
        pick("config.batch_sizes", name, system.stages)
        if type(size) is not int or size < 1:
            raise ValueError(f"config.batch_sizes.{name} must be an integer of at least 1, got {size!r}")
    own = lambda each: given.get(each.name.partition("/")[0], each.batch_size)
    return system._replace(passes=tuple(each._replace(batch_size=own(each)) for each in system.passes))


def hand_on(
    name: str, system: System, before: str, earlier: System, augmentation: Augmentation | None
) -> HandOn:
    """Return what makes the request of a stage of the picture that the one before it made.

    Args:
      name, system: of the stage.
      before, earlier: of the one before.
      augmentation: of the picture; None for none.

    Raises:
      ValueError: naming what does not fit.
    """
    level, truncated = augmentation or Augmentation()
    parts, given = system.request.parts, tuple(earlier.example["x"].shape[1:])
    if IMAGE not in parts:
        takes = ", ".join(parts) or "nothing"
        raise ValueError(f"config.stages.{name} must be asked with {IMAGE!r}, a picture; it takes {takes}")
    if parts[IMAGE].shape != given or earlier.gives != "images":
        raise ValueError(
            f"config.stages.{name} takes pictures {parts[IMAGE].shape}, and {before!r} makes "
            f"{earlier.gives} {given}"
        )
    scale = 1.0
    if truncated:
        level, scale = _left(earlier, level, before)
    noisy = f"{IMAGE}{small_pictures.LEVEL}" in parts
    if level and not noisy:
        raise ValueError(
            f"config.augmentation.{name}.level must be 0, as {name!r} was trained without augmentation; got "
            f"{level:g}"
        )
    if level:
        asked = {IMAGE: np.zeros(given, np.float32), f"{IMAGE}{small_pictures.LEVEL}": level}
        call(f"config.augmentation.{name}", system.request.of_user, {}, {**asked}, 1)
    return partial(_picture, f"{before}/{earlier.passes[-1].name}", noisy, level, truncated, scale)


def _picture(made_as, noisy, level, truncated, scale, keys, made, request):
    x, n = scale * made[made_as], len(keys)
    x = x if truncated else jnp.clip(x, -1, 1)  # as pictures are
    values = (x, jnp.full(n, level, jnp.float32), jax.vmap(_seed)(keys), jnp.full(n, truncated))
    names = small_pictures.beside(IMAGE)
    return {**request, **dict(zip(names if noisy else names[:1], values))}


def _seed(key):
    return jax.random.bits(key, (), jnp.uint32)


def _left(earlier: System, level: float, before: str) -> tuple[float, float]:
    """Return the noise that is left where a stage stops, and what makes its x of unit size."""
    if earlier.schedule is None or "schedule" in earlier.serves:
        raise ValueError(
            f"config.stages.{before} must have a noise schedule that is not trained, to stop early"
        )
    found = earlier.schedule(None).at_ratio(level / (1 - level**2) ** 0.5)
    scale = 1 / float(np.hypot(found.alpha, found.sigma))
    return float(found.sigma) * scale, scale


def handed(given: Stage, *names: str) -> Stage:
    """Return a stage that is not asked for these pictures by a user: it is handed them.

    They are there, blank, in its request all the same.
    """
    own = given.system.request
    hidden = [part for name in names for part in small_pictures.beside(name)]

    def of_user(asked, n):
        blank = {name: np.zeros(own.parts[name].shape, np.float32) for name in names}
        return own.of_user({**asked, **blank}, n)

    request = own._replace(
        parts={part: each for part, each in own.parts.items() if part not in hidden},
        of_user=of_user,
        default=lambda n: of_user({}, n),
        pictures=Conditioning().pictures,
    )
    return given._replace(system=given.system._replace(request=request))
