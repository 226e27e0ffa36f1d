"""Semantic guidance: a trained denoiser steered by what an encoder sees (Liu et al. 2021, arXiv:2112.05744).

    config.denoiser = {"workdir": "runs/digits_unconditional"}
    config.encoder = {"workdir": "runs/digits_noise_aware"}
    config.sampler = {"solver": "ddim", "steps": 50, "guides": {"text": 60.0, "image": 40.0, "style": 100.0}}

A system without updates, made of two runs; the encoder's has `features` of noised pictures. `sampler.guides`
says by what it may be steered, and how much; `sampler.style_maps` how many of the encoder's maps, from the
first, are the style, 1 by default: the deeper ones know what is drawn as well. `sampler.guide_intervals` says
where a guide steers, {guide: (least, most) sigma / alpha}; one that is not in it steers at every level. Where
noise is larger than the picture, styles are those of the noise. With `sampler.guides_of_x0` the encoder sees
the predicted x_0 in the place of x_t, and need not know noise; of a denoiser of latents it sees that decoded,
which costs the decoder, there and back, in every step. See `systems.steering`.

    text     the texts that the encoder knows, under the names of its own parts
    image    a picture, what is in it
    layout   a picture, where things are in it
    style    a picture, how it is drawn

A request may have any of them, for each sample; what it does not say steers nothing, and the denoiser's own
parts are asked beside. Pictures are noised afresh at every level, by the sample's own key.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, guidance
from diffjax.pixels import to_uint8
from diffjax.process.schedules import Schedule
from diffjax.systems import pictures, read, requests, steering
from diffjax.systems.options import call, number, pick, require
from diffjax.systems.stages import Stage
from diffjax.systems.steering import DENOISER, told
from diffjax.training.system import Conditioning, Part, System, Variables

SECTIONS = ("data", "denoiser", "encoder", "sampler")
IDENTITY = ("data",)

ENCODER, TEXT = "encoder", "text"
OF_PICTURES = {  # guide -> the features of the encoder that it compares, and the score
    "image": ("image", guidance.resembles_image),
    "layout": ("maps", guidance.resembles_layout),
    "style": ("style", guidance.resembles_style),
}
_SAYS = "says"  # part of the request: which guides steer a sample


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`; its data are those that it is measured with."""
    del folder
    require(config, *SECTIONS, "sampler.guides")
    stages = steering.stages_of(config, ENCODER)
    noise = steering.schedule_of(stages)
    own = config.sampler.to_dict()
    weights = {name: number(f"sampler.guides.{name}", each) for name, each in own.pop("guides").items()}
    for name in weights:
        pick("sampler.guides", name, dict.fromkeys((TEXT, *OF_PICTURES)))
    of_x0 = own.pop("guides_of_x0", False)
    if not isinstance(of_x0, bool):
        raise ValueError(f"sampler.guides_of_x0 must be True or False, got {of_x0!r}")
    style_maps = checks.count("sampler.style_maps", own.pop("style_maps", 1))
    intervals = _intervals(own.pop("guide_intervals", None) or {}, weights, noise)
    sampler = steering.sampler_of(config, own, stages[DENOISER].system, noise)
    return semantic(stages, noise, sampler, weights, style_maps, intervals, of_x0)


def semantic(
    stages: Mapping[str, Stage],
    schedule: Schedule,
    sampler: read.Sampler,
    weights: Mapping[str, float],
    style_maps: int = 1,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    of_x0: bool = False,
) -> System:
    """Make the system.

    Args:
      stages: "denoiser", a system that has one, and "encoder", one with `features` of pictures at any level:
        "image" for the guides text and image, "text" for text, "maps" for layout and style.
      schedule: of the denoiser.
      sampler: `read.Sampler`; guidance away from the denoiser's null comes before the shift, the rest after.
      weights: {guide: weight} of those that may be asked for.
      style_maps: how many of the encoder's maps, from the first, are compared in style.
      intervals: {guide: (least, most) sigma / alpha} of those that do not steer everywhere.
      of_x0: the encoder sees the predicted x_0, and references with the least noise that it knows.

    Returns:
      A System whose frozen variables are {stage: Variables}. The condition of its `denoiser`, which
      `request.encode` makes, is {"denoiser": Condition, "says": [B, guides], guide: features or pictures}. A
      denoiser alone noises pictures by one key, sampling by each sample's own. The encoder is called where a
      guide steers.

    Raises:
      ValueError: without guides, for an interval that the schedule does not meet, or if a stage cannot do its
        part, or they have no space in common.
    """
    own, encoder = stages[DENOISER].system, stages[ENCODER].system
    _require_parts(own, encoder, weights)
    look = steering.look(stages, ENCODER, schedule, of_x0, "sampler.guides_of_x0")
    within = {
        name: functools.partial(guidance.interval, lo=lo, hi=hi, schedule=schedule)
        for name, (lo, hi) in (intervals or {}).items()
    }
    for each in within.values():
        each(guidance.chain())  # refused here, before anything compiles
    shape = own.example["x"].shape[1:]

    def denoiser(v, keys, guides=(), changes=tuple(sampler.cuts), own_key=None):
        plain = guidance.chain(*guides)(own.denoiser(v.frozen[DENOISER], own_key))
        features, seen = _features(encoder, v, style_maps), look(v)

        def one(i, name):
            def score(x_t, level, cond):
                found = _score(name, features, told(cond, name), keys)(*seen(x_t, level), cond)
                return cond[_SAYS][:, i] * found

            return weights[name], score

        by_name = {name: one(i, name) for i, name in enumerate(weights)}
        everywhere = [guide for name, guide in by_name.items() if name not in within]
        shift = functools.partial(guidance.semantic, of_x0=of_x0)
        steps = [shift(everywhere)] if everywhere else []
        steps += [limit(shift([by_name[name]])) for name, limit in within.items()]
        return steering.steered(plain, steps, changes)

    request = sampler.asks(_request(stages, weights, shape), shape, own.gives)

    made = steering.made_of(
        stages,
        sampler,
        schedule,
        tell=request.encode,
        denoiser=denoiser,
        calls=steering.calls(stages, ENCODER, sampler),
        example={**encoder.example, **own.example},
        request=request,
    )
    alone = lambda v, key=None: denoiser(v, jax.random.key(0), own_key=key)
    return made._replace(denoiser=alone)


def _intervals(
    given: Mapping[str, Any], weights: Mapping[str, float], noise: Schedule
) -> dict[str, tuple[float, float]]:
    """Read where guides steer."""
    found = {}
    for name, pair in given.items():
        pick("sampler.guide_intervals", name, dict.fromkeys(weights))
        field = f"sampler.guide_intervals.{name}"
        try:
            lo, hi = map(float, pair)
        except (TypeError, ValueError):
            told = "a pair such as (0.0, 0.5) of sigma / alpha"
            raise ValueError(f"{field} must be {told}, got {pair!r}") from None
        call(field, guidance.interval, {}, guidance.chain(), lo, hi, schedule=noise)
        found[name] = lo, hi
    return found


def _features(encoder: System, v: Variables, style_maps: int) -> dict[str, Callable]:
    """Return the features that guides compare, of noised pictures; "style" are the first maps."""
    found = encoder.features(v.frozen[ENCODER])
    return {**found, "style": lambda x, level: found["maps"](x, level)[:style_maps]}


def _score(name: str, features: Mapping[str, Callable], asked: Any, keys: jax.Array) -> Callable:
    """Return the score of a guide, (x_t, level, cond) -> [B]."""
    if name == TEXT:
        return guidance.resembles_text(features["image"], asked)
    of, resembles = OF_PICTURES[name]
    return resembles(features[of], asked, key=keys)


def _request(
    stages: Mapping[str, Stage], weights: Mapping[str, float], shape: tuple[int, ...]
) -> Conditioning:
    """Return the conditioning of both stages and of the pictures to resemble."""
    own, texts = (stages[name].system.request for name in (DENOISER, ENCODER))
    pictured = [name for name in weights if name != TEXT]
    spoken = TEXT in weights

    def made(n, of_denoiser, of_encoder, given):
        """Complete a request: {guide: [n, ...]} is given, what is not in it says nothing."""
        found = {
            DENOISER: of_denoiser,
            **{name: given.get(name, np.zeros((n, *shape), np.float32)) for name in pictured},
        }
        found |= {ENCODER: texts.default(n) if of_encoder is None else of_encoder} if spoken else {}
        says = [name in given or (name == TEXT and of_encoder is not None) for name in weights]
        return {**found, _SAYS: np.broadcast_to(np.asarray(says, np.float32), (n, len(says)))}

    def of_user(given, n):
        given = dict(given)
        seen = {
            name: pictures.images(name, requests.listed(given.pop(name)), n, shape)
            for name in pictured
            if name in given
        }
        said = {part: given.pop(part) for part in [*given] if spoken and part in texts.parts}
        rest = own.of_user(given, n) if given else own.default(n)
        return made(n, rest, texts.of_user(said, n) if said else None, seen)

    def of_batch(v, key, batch):
        n, told = len(batch["x"]), own.of_batch(v.frozen[DENOISER], key, batch)
        said = texts.of_batch(v.frozen[ENCODER], key, batch) if spoken else None
        return made(n, told, said, {} if spoken else {name: batch["x"] for name in pictured})

    def encode(v, request, keep=None):
        found = {name: request[name] for name in (*pictured, _SAYS)}
        if spoken:
            found[TEXT] = stages[ENCODER].system.features(v.frozen[ENCODER])[TEXT](request[ENCODER])
        return found | {DENOISER: own.encode(v.frozen[DENOISER], request[DENOISER], keep)}

    def describe(request):
        said = texts.describe(request[ENCODER]) if spoken else None
        if said is None:
            return own.describe(request[DENOISER])
        says = np.asarray(request[_SAYS])[:, list(weights).index(TEXT)] > 0
        return [text if each else "" for text, each in zip(said, says)]

    def shown(request):
        says = np.asarray(request[_SAYS])
        return [
            to_uint8(np.asarray(request[name], np.float32))
            for i, name in enumerate(weights)
            if name in pictured and says[:, i].any()
        ]

    parts = {**own.parts, **{name: Part(shape) for name in pictured}, **(texts.parts if spoken else {})}
    return Conditioning(
        parts=parts, of_user=of_user, of_batch=of_batch, encode=encode, describe=describe, pictures=shown,
        default=lambda n: made(n, own.default(n), texts.default(n) if spoken else None, {}),
    )  # fmt: skip


def _require_parts(own: System, encoder: System, weights: Mapping[str, float]) -> None:
    steering.require_steerable(own, ("images",))
    if not weights:
        raise ValueError(f"sampler.guides must be some of {', '.join((TEXT, *OF_PICTURES))}; got none")
    if encoder.features is None:
        raise ValueError("config.encoder must be a run of a system with features, such as 'noise_aware'")
    if TEXT in weights and not encoder.request.parts:
        raise ValueError("sampler.guides.text needs an encoder that is asked with texts")
    both = set(own.request.parts) & {*encoder.request.parts, *weights}
    if both:
        raise ValueError(
            f"config.denoiser and what guides must be asked by other names; both have {min(both)}"
        )
