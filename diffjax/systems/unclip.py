"""Text to an embedding to pictures: unCLIP (Ramesh et al. 2022, DALL-E 2).

    config.stages = {
        "prior": {"workdir": "runs/prior"},  # system "prior", of the CLIP that the decoder was trained on
        "decoder": {"workdir": "runs/decoder", "sampler": {"guidance_weight": 2.0}},
        "up": {"workdir": "runs/up"},  # and further steps up, as of a cascade
    }
    config.order = ("prior", "decoder", "up")
    config.augmentation = {"up": {"level": 0.1}}
    config.embedding = "prior"  # or "text": the text's own in the picture's place; or "none"

A user gives a text, or a picture ("image"), whose embedding takes the prior's place: then the samples are
variations of it. What is found by inverting the decoder besides is below, as functions of a decoder alone: an
embedding z says what is in a picture, and the noise x_T, to which DDIM leads it back, all else. `variations`
keep both and draw fresh noise on the way, `between` and `by_text` go from one embedding to another.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax import files, samplers
from diffjax.process.level import unit_of_each
from diffjax.process.schedules import Schedule
from diffjax.samplers.solver import Times
from diffjax.systems import cascade, prior, seen
from diffjax.systems.cascade import IMAGE, Augmentation
from diffjax.systems.options import pick, require, section
from diffjax.systems.pipeline import pipeline
from diffjax.systems.stages import FOLDER, Stage
from diffjax.training import workdir
from diffjax.training.system import Pass, System
from diffjax.types import Array

SECTIONS = (*cascade.SECTIONS, "embedding")
IDENTITY = cascade.IDENTITY
WAYS = ("prior", "text", "none")  # where the decoder's embedding is from


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `data` and `stages`."""
    del folder
    require(config, "data", "stages")
    given, names = section(config, "stages"), cascade.ordered(config)
    if len(names) < 2:
        told = ", ".join(names) or "none"
        raise ValueError(f"config.stages must name a prior, a decoder, and steps up if any; got {told}")
    first, decoder, *_ = names
    way = config.get("embedding", WAYS[0])
    pick("config.embedding", way, dict.fromkeys(WAYS))
    asked = cascade.augmentations(config, names[1:])
    stages = cascade.stages_of(config, names, asked)
    _require_one_clip(first, given[first], decoder, given[decoder])
    return cascade.sized(unclip(stages, asked, way), config)


def unclip(
    stages: Mapping[str, Stage],
    augmentation: Mapping[str, Augmentation] | None = None,
    embedding: str = WAYS[0],
) -> System:
    """Make the system.

    Args:
      stages: a prior, which gives embeddings; a decoder, whose part "image" is one; and steps up, as of
        `systems.cascade.cascade`.
      augmentation: of the steps up, {stage: Augmentation}.
      embedding: what the decoder is told: "prior"; "text", the text's own embedding; "none", nothing.

    Raises:
      ValueError: naming the stage that does not fit.
    """
    names, augmentation = list(stages), augmentation or {}
    first, decoder = names[:2]
    _require_embeddings(first, stages[first].system, decoder, stages[decoder].system)
    walk = stages[first].system.passes[-1].name
    hands = {decoder: _hand(f"{first}/{walk}", embedding)}
    for before, name in zip(names[1:], names[2:]):
        hands[name] = cascade.hand_on(
            name, stages[name].system, before, stages[before].system, augmentation.get(name)
        )
    told = {name: cascade.handed(each, IMAGE) if name in names[2:] else each for name, each in stages.items()}
    told[decoder] = _to_be_made(stages[decoder])
    if embedding == "text":
        told[first] = _saying(stages[first], walk)
    return pipeline(told, hands)


def _hand(made_as: str, way: str) -> Callable:
    def hand(keys, made, request):
        del keys
        own = request[IMAGE]  # zeros where no picture is given
        given = (own != 0).any(axis=-1, keepdims=True)
        z = jnp.zeros_like(own) if way == "none" else made[made_as].reshape(own.shape)
        return {**request, IMAGE: jnp.where(given, own, z)}

    return hand


def _to_be_made(given: Stage) -> Stage:
    """Return a decoder that rows of data ask for what they say, and not for what is to be seen in them."""
    own = given.system.request

    def of_batch(variables, key, batch):
        found = own.of_batch(variables, key, batch)
        return {**found, IMAGE: jnp.zeros_like(found[IMAGE])}

    return given._replace(system=given.system._replace(request=own._replace(of_batch=of_batch)))


def _saying(given: Stage, name: str) -> Stage:
    """Return a prior that says the text's own embedding in the place of a picture's."""
    own = given.system

    def run(v, keys, asked, made):
        del keys, made
        return own.features(v)["text"](asked)

    return given._replace(system=own._replace(passes=(Pass(name, run, {}),)))


def _require_embeddings(name, earlier, decoder, system):
    part = system.request.parts.get(IMAGE)
    if earlier.gives != "embeddings":
        raise ValueError(
            f"config.stages.{name} must give embeddings, as system {WAYS[0]!r} does; it gives {earlier.gives}"
        )
    if part is None or len(part.shape) != 1:
        told = f"{IMAGE!r}, an embedding (conditions: clip_image)"
        raise ValueError(f"config.stages.{decoder} must be asked with {told}")
    row = earlier.example[prior.SEEN if prior.SEEN in earlier.example else "x"]
    size = math.prod(row.shape)
    if size != part.shape[0]:
        raise ValueError(
            f"config.stages.{decoder} takes embeddings of {part.shape[0]} numbers, and {name!r} has {size}: "
            "of other CLIPs"
        )


def _require_one_clip(first: str, one: Any, decoder: str, other: Any) -> None:
    """Raise for two runs that stand on CLIPs of different parameters; one without a CLIP says nothing."""
    found = [_checksum(each) for each in (one, other)]
    if None not in found and found[0] != found[1]:
        raise ValueError(
            f"config.stages.{decoder} was trained on another embedding than {first!r}: their CLIPs differ "
            f"({other.get('workdir')}, {one.get('workdir')})"
        )


def _checksum(given: Any) -> str | None:
    place = workdir.local(given.get("workdir", "")) / FOLDER / seen.CLIP / "stage.json"
    return files.read_json(place, "checksum", otherwise="")["checksum"] if place.is_file() else None


def invert(
    denoise: Callable, schedule: Schedule, times: Times, x: Array, cond: Any, steps: Callable = samplers.ddim
) -> Array:
    """Return the noise x_T [B, ...] to which DDIM leads pictures x back, told what they show.

    With the same embedding DDIM from x_T gives x again, and with another one what that says in x's
    composition.

    Args:
      denoise: of the decoder.
      schedule, times: of its sampler.
      x: pictures [B, H, W, C].
      cond: their condition.
      steps: makes the solver.

    Reference: Ramesh et al. 2022, section 3; Song et al. 2020 (DDIM), section 4.3.
    """
    return samplers.encode(denoise, schedule, steps(), times, x, cond=cond)


def variations(
    keys: Array, denoise: Callable, schedule: Schedule, times: Times, x: Array, cond: Any, eta: float = 1.0
) -> Array:
    """Return pictures [B, H, W, C] that begin where pictures x lead to, and get fresh noise on the way.

    With eta = 0 they are x again; what varies with a larger one is what their embedding does not say.

    Args:
      keys: one a picture.
      denoise, schedule, times, x, cond: see `invert`.
      eta: of DDIM, in [0, 1]; above 0 in the paper.

    Reference: Ramesh et al. 2022, section 3.1.
    """
    solver = samplers.ddim(eta=eta)
    rows = samplers.plan(schedule, solver, times)
    return samplers.walk(keys, denoise, solver, rows, invert(denoise, schedule, times, x, cond), cond=cond)


def between(z: Array, other: Array, shares: Array) -> Array:
    """Return embeddings [S, D] on the way from one z [D] to another, on the sphere, of pictures between two.

    Args:
      z, other: of unit norm.
      shares: [S] in [0, 1].

    Reference: Ramesh et al. 2022, section 3.2.
    """
    several = lambda each: jnp.broadcast_to(each, (len(shares), *jnp.shape(each)))
    return samplers.slerp(several(jnp.asarray(z)), several(jnp.asarray(other)), jnp.asarray(shares))


def by_text(z: Array, text: Array, now: Array, shares: Array) -> Array:
    """Return embeddings [S, D] of a picture on its way from what one text says to what another does.

    It is turned towards the difference of the texts' embeddings, of unit norm, by a share of the angle.

    Args:
      z: [D] of the picture.
      text: [D], of a text that is wanted.
      now: [D], of one that says what it shows now, or of an empty one.
      shares: [S], 0.25 to 0.5 in the paper.

    Reference: Ramesh et al. 2022, section 3.3 (text diffs).
    """
    return between(z, unit_of_each((text - now)[None])[0], shares)
