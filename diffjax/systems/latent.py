"""Diffusion in the latents of a trained autoencoder (Rombach et al. 2022): any system of the house, within.

    config.system = "latent"
    config.first_stage = {"workdir": "runs/emoji_kl_f4"}  # or {"pretrained": file, "architecture": ..., ...}
    config.latents = {"system": "ddpm", "scale": "measured", "per": "model", "cache": True}

`data` are the pictures; `schedule`, `model`, `objective`, `sampler`, `conditions` and `levels` are those of
the system that `latents.system` names, which sees latents in the place of pictures. It may be "classifier",
which samples nothing, and steers what walks in the same latents. A condition is made of the picture itself,
and what lies beside the latents is made as small as they are. `latents.scale` is "measured" once over the
training data, per "model" or per "channel", or a number such as 0.18215. With `latents.cache` the encoder is
asked once for every picture.
"""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, files, systems
from diffjax.data import Source
from diffjax.systems import kept_latents, known, read, same_latents
from diffjax.systems.options import call, number, pick, require, section
from diffjax.systems.same_latents import FIRST, LATENTS, WITHIN
from diffjax.systems.stages import Stage, stage
from diffjax.training.system import Codec, Pass, System, Variables

INNER = ("schedule", "model", "objective", "sampler", "conditions", "levels")
SECTIONS = ("data", "first_stage", "latents", *INNER)
_KEPT = ("system", "scale", "per", "posterior", "inpaint")  # of config.latents: what a network learned with
IDENTITY = ("data", *(f"latents.{name}" for name in _KEPT), "schedule", "model", "conditions")

_OF_CODE = 2**31 - 1  # folded into a step's key for the code that is drawn


class Latents(NamedTuple):
    """How pictures become what the system within sees: the section `config.latents`.

    Attributes:
      scale: "measured", or a positive number that latents are multiplied by.
      per: what has a scale of its own, and a shift, where it is measured.
      posterior: whether a Gaussian code is drawn anew each time, or its mean taken.
      cache: keep the moments of every picture on disk.
      decode_batch: pictures that are decoded at a time.
      inpaint: the network sees the latents of a masked picture and the mask, see `systems.known`.
    """

    scale: str | float = "measured"
    per: kept_latents.Per = "model"
    posterior: str = "sample"
    cache: bool = False
    decode_batch: int = 16
    inpaint: bool = False


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which conditions may be left out."""
    require(config, "data", FIRST, f"{LATENTS}.system")
    options = section(config, LATENTS)
    name = options.pop("system")
    how, pixels = _latents(options), read.shape(config)
    if read.gives(config) != "images":
        raise ValueError(f"data.shape must be of images for system 'latent'; got {pixels}")
    if how.inpaint and (config.get("sampler") or {}).get("edit") is not None:
        raise ValueError("sampler.edit must be left out with latents.inpaint: the network itself fills")
    if (config.get("sampler") or {}).get("measurement") is not None:
        raise ValueError("sampler.measurement is not for system 'latent', whose walk is in latents")
    first = stage(section(config, FIRST), folder, FIRST)
    shape = latent_shape(first, pixels)
    own = {key: value for key, value in config.to_dict().items() if key not in (FIRST, LATENTS)}
    own |= {"system": name, "data": {**own["data"], "shape": shape, "pictures": pixels}}
    if how.inpaint:
        own["conditions"] = {**(own.get("conditions") or {}), known.NAME: known.section_of(shape)}
    inner = systems.build(ConfigDict(own), folder)
    if tuple(inner.example["x"].shape[1:]) != shape or not (inner.passes or inner.log_prob):
        told = "samples what it learns, or tells classes"
        raise ValueError(f"latents.system must be one that {told}; {name!r} does not")
    return latent(inner, first, how, pixels=pixels, shape=shape, flip=bool(config.data.get("flip", False)))


def _latents(options) -> Latents:
    how = call(LATENTS, Latents, options)
    if isinstance(how.scale, str) and how.scale != "measured":  # of the command line, in the place of a word
        with contextlib.suppress(ValueError):
            how = how._replace(scale=float(how.scale))
    pick("latents.per", how.per, dict.fromkeys(("model", "channel")))
    pick("latents.posterior", how.posterior, dict.fromkeys(("sample", "mean")))
    for name in ("cache", "inpaint"):
        if not isinstance(getattr(how, name), bool):
            raise ValueError(f"latents.{name} must be True or False, got {getattr(how, name)!r}")
    checks.count("latents.decode_batch", how.decode_batch)
    if how.scale == "measured":
        return how
    if isinstance(how.scale, str) or number("latents.scale", how.scale) <= 0:
        raise ValueError(f"latents.scale must be 'measured' or a positive number, got {how.scale!r}")
    if how.per != "model":
        raise ValueError(f"latents.per must be 'model' where latents.scale is given, got {how.per!r}")
    return how


def latent_shape(first: Stage, pixels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the latents [h, w, C] of pictures.

    Raises:
      ValueError: for a first stage that is no autoencoder, or one of other pictures.
    """
    if first.system.codec is None:
        raise ValueError(
            "config.first_stage must be a run of a system with a codec, such as 'autoencoder', or a "
            "published one's file"
        )
    trained = first.system.example.get("x")
    if trained is not None and tuple(trained.shape[1:]) != pixels:
        raise ValueError(
            f"config.first_stage was trained on pictures {tuple(trained.shape[1:])}, and data.shape is "
            f"{pixels}"
        )
    x = jax.ShapeDtypeStruct((1, *pixels), jnp.float32)
    encode = lambda v, x: first.system.codec(v).encode(jax.random.key(0), x)
    try:
        found = jax.eval_shape(encode, first.shapes(), x).shape[1:]
        back = jax.eval_shape(
            lambda v, z: first.system.codec(v).decode(z),
            first.shapes(),
            jax.ShapeDtypeStruct((1, *found), x.dtype),
        )
    except Exception as error:  # of flax, where kernels do not fit
        said = files.one_line(error)
        raise ValueError(f"config.first_stage does not encode pictures {pixels}: {said}") from error
    if len(found) != 3 or back.shape[1:] != pixels:
        raise ValueError(
            f"config.first_stage must make maps [h, w, C] of pictures {pixels} and back; it makes {found}, "
            f"and {tuple(back.shape[1:])} of these"
        )
    return tuple(found)


def latent(
    inner: System,
    first: Stage,
    how: Latents,
    *,
    pixels: tuple[int, ...],
    shape: tuple[int, ...],
    flip: bool = False,
) -> System:
    """Make the system of pictures.

    Args:
      inner: system of latents; what it asks of a picture it finds in a batch as "pictures".
      first: stage with a codec.
      how: see `Latents`.
      pixels: shape of a picture.
      shape: of its latent.
      flip: whether training mirrors pictures.

    Returns:
      A System that gives images, if the one within samples. Its denoiser, schedule and measures are of
      latents, scaled; its `codec` is between them and pictures. Its last pass is "decode".

    Raises:
      ValueError: for moments of a first stage that has none.
    """
    original = first.system.codec
    moments = _moments_shape(first, pixels)
    if moments is None and (how.cache or how.posterior == "mean"):
        wanted = "latents.cache" if how.cache else "latents.posterior='mean'"
        raise ValueError(f"{wanted} needs a first stage that tells the moments of its code")

    def within(v):
        return None if v is None else v._replace(frozen=v.frozen[WITHIN])

    def encode_with(variables, key, batch):
        """Latents as the first stage makes them; of kept moments where a batch has them."""
        codec, kept = original(variables), kept_latents.moments_of(batch)
        if codec.moments is None:
            return codec.encode(key, batch["x"])
        kept = codec.moments(batch["x"]) if kept is None else kept
        return codec.draw(None if how.posterior == "mean" else key, kept)

    def scaled(v, z):
        return (z - v.frozen[LATENTS]["shift"]) * v.frozen[LATENTS]["scale"]

    def unscaled(v, z):
        return z / v.frozen[LATENTS]["scale"] + v.frozen[LATENTS]["shift"]

    def codec(v) -> Codec:
        own = original(v.frozen[FIRST])
        return Codec(
            lambda key, x: scaled(v, encode_with(v.frozen[FIRST], key, {"x": x})),
            lambda z: own.decode(unscaled(v, z)),
            shape,
        )

    def seen(v, key, batch):
        """The batch that the system within sees."""
        key = jax.random.fold_in(key, _OF_CODE)
        z = scaled(v, encode_with(v.frozen[FIRST], key, batch))
        found = {**batch, "x": z, "pictures": batch["x"]}
        return found | (known.of_batch(codec(v), key, batch["x"]) if how.inpaint else {})

    def asked(v, request):
        return known.in_latents(codec(v), request, how.inpaint)

    def init(key, batch, frozen):
        if isinstance(batch["x"], jax.ShapeDtypeStruct):  # where shapes alone matter
            return inner.init(key, inner.example, frozen[WITHIN])
        return inner.init(key, seen(Variables(frozen=frozen), key, batch), frozen[WITHIN])

    def prepare(folder, source=None):
        folder = None if folder is None else Path(folder)
        given, (own, source) = source, inner.prepare(folder, source)  # which may add arrays: read texts, say
        variables = first.read(folder)
        if how.scale != "measured":
            shift, scale = np.zeros(shape[-1:], np.float32), np.full(shape[-1:], how.scale, np.float32)
        if folder is not None and given is not None and how.cache and _is_training(folder, given):
            source = source.add(**kept_latents.cached(folder, variables, original, given, flip))
        if how.scale == "measured":
            shift, scale = kept_latents.measured(folder, variables, encode_with, source, how.per)
        if scale.shape != shape[-1:]:
            raise ValueError(f"latents.scale must be {shape[-1:]}, one a channel; {folder} has {scale.shape}")
        stats = {"shift": jnp.asarray(shift), "scale": jnp.asarray(scale)}
        frozen = {FIRST: variables, LATENTS: stats, WITHIN: own}
        beside = {name: each for name, each in own.items() if isinstance(each, Variables)}
        same_latents.require({"this run": Variables(frozen=frozen), **beside})
        return frozen, source

    def lifted(function):
        return None if function is None else (lambda v, *rest, **more: function(within(v), *rest, **more))

    def update(own):
        def gradients(v, key, batch, step):
            return own.gradients(within(v), key, seen(v, key, batch), step)

        return own._replace(gradients=gradients)

    def walk(own):
        return own._replace(
            run=lambda v, keys, request, made: own.run(within(v), keys, asked(v, request), made)
        )

    def decode(v, keys, request, made):
        del keys
        return known.kept(request, jnp.clip(codec(v).decode(made[inner.passes[-1].name]), -1, 1))

    def measure(own):
        def of_latents(v, key, batch):
            found = own(within(v), key, seen(v, key, batch))
            return {
                name: value for name, value in found.items() if name != "bits_per_dim"
            }  # bits are of pixels

        of_latents.how = getattr(own, "how", {})
        return of_latents

    last = [Pass("decode", decode, {"decoder": 1}, how.decode_batch)] if inner.passes else []
    request = inner.request._replace(
        of_batch=lambda v, key, batch: inner.request.of_batch(
            within(v), key, {**batch, "pictures": batch["x"]}
        ),
        encode=lambda v, request, keep=None: inner.request.encode(within(v), asked(v, request), keep),
    )
    if how.inpaint:
        request = known.conditioning(request, pixels)
    x = jax.ShapeDtypeStruct((1, *pixels), jnp.float32)
    example = {name: row for name, row in inner.example.items() if name not in ("x", known.NAME)}
    kept = kept_latents.example(moments, flip) if how.cache and moments is not None else {}
    numbers = jax.ShapeDtypeStruct(shape[-1:], jnp.float32)
    return inner._replace(
        example={"x": x, **example, **kept},
        init=init,
        updates=tuple(map(update, inner.updates)),
        frozen={FIRST: first.shapes(), LATENTS: {"shift": numbers, "scale": numbers}, WITHIN: inner.frozen},
        prepare=prepare,
        request=request,
        passes=(*map(walk, inner.passes), *last),
        gives="images" if last else None,
        measures={
            **{f"latent_{name}": measure(own) for name, own in inner.measures.items()},
            "latents": lambda v, key, batch: {
                "mean": (z := seen(v, key, batch)["x"]).mean((1, 2, 3)), "square": (z**2).mean((1, 2, 3))
            },
        },
        denoiser=lifted(inner.denoiser),
        space=shape,
        schedule=lifted(inner.schedule),
        codec=codec,
        flow_map=lifted(inner.flow_map),
        log_prob=lifted(inner.log_prob),
        features=lifted(inner.features),
        stages={FIRST: first, **inner.stages},
    )  # fmt: skip


def _moments_shape(first: Stage, pixels) -> tuple[int, ...] | None:
    if first.system.codec(first.shapes()).moments is None:
        return None
    moments: Any = lambda v, x: first.system.codec(v).moments(x)
    x = jax.ShapeDtypeStruct((1, *pixels), jnp.float32)
    return tuple(jax.eval_shape(moments, first.shapes(), x).shape[1:])


def _is_training(folder: Path, source: Source) -> bool:
    """Say whether these are the data that the run in a folder is trained on: only their latents are kept."""
    path = folder / "data.json"
    return not path.is_file() or files.read_json(path, "fingerprint")["fingerprint"] == source.fingerprint()
