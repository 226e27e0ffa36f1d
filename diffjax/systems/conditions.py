"""The section `config.conditions`: what a model is asked beside a class, part by part.

    config.conditions = {
        "text": {"encoder": "tokens", "length": 16, "vocab_size": 2000, "drop": 0.1},
        "map": {"encoder": "map", "num_classes": 8, "drop": 0.1},
    }

A name is free; those of the sample command's flags are "text", "image" and "map". `encoder` says what the
part is, and `drop` how often training hides it; the other options are those of the encoder's function.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from diffjax import checks
from diffjax.systems import codecs, known, options, pictures, seen, small_pictures, words
from diffjax.systems.about import About
from diffjax.systems.requests import LABEL, Asked, classes


def _classes(
    about: About, *, array: str, num_classes: int, names: Sequence[str] | None = None, to: str = "vector"
) -> Asked:
    """Make a class of another kind than the label, e.g. a style, or a text of one word where it has names.

    It is told as a vector, or `to` "tokens" as the only one to attend to (Rombach et al. 2022, section 4.3).
    """
    num_classes = checks.count("num_classes", num_classes)
    widths = about.widths(to)
    if to == "both":
        raise ValueError("to must be 'vector' or 'tokens', got 'both'")
    features = next(width for width in widths.values() if width is not None)
    if not isinstance(array, str):
        raise ValueError(f"array must be the name of an array of the data, got {array!r}")
    names = None if names is None else tuple(names)
    made = classes(num_classes, features, about.null, names, name=about.name, array=array)
    return made if to == "vector" else made._replace(module=codecs.AsToken(made.module))


ENCODERS = {
    "classes": _classes,
    "tokens": words.tokens,
    "text_model": words.text_model,
    "embedding": words.embedding,
    "map": pictures.semantic_map,
    "colour_map": pictures.colour_map,
    "low_resolution": small_pictures.low_resolution,
    "known": known.asked,
    "blurred": small_pictures.blurred,
    "clip_image": seen.clip_image,
    "clip_text": seen.clip_text,
}


def parts(
    config: ConfigDict, module: nn.Module, shape: tuple[int, ...], null: bool, folder: str | Path | None
) -> tuple[dict[str, Asked], dict[str, float]]:
    """Build the parts of `config.conditions`.

    Args:
      config: of a run; it may have no such section.
      module: the network, which says what it takes.
      shape: of one example.
      null: whether training hides all parts at once, sometimes.
      folder: of the run.

    Returns:
      ({name: Asked}, {name: drop}).

    Raises:
      ValueError: naming the part and the option that does not fit.
    """
    asked, drops = {}, {}
    if config.get("conditions") is None:
        return asked, drops
    for name in options.section(config, "conditions"):
        field = f"conditions.{name}"
        if name == LABEL:
            raise ValueError(f"{field}: class labels are said by model.num_classes")
        own = options.section(config, field)
        drops[name] = options.number(f"{field}.drop", own.pop("drop", 0.0), 0, 1)
        make = options.pick(f"{field}.encoder", own.pop("encoder", None), ENCODERS)
        seen = tuple(config.data.get("pictures", shape))  # of which a system in latents is asked
        about = About(name, module, seen, null or drops[name] > 0, folder, own)
        asked[name] = options.call(field, make, own, about)
        if "pictures" in config.data:
            asked[name] = codecs.beside_latents(asked[name], (shape[0], shape[1]))
    return asked, drops


def require_arrays(config: ConfigDict, source: Any) -> None:
    """Raise a ValueError for an array that a part reads of the data, and that is not there.

    Args:
      config: of a run; its parts are otherwise not looked at.
      source: `data.Source`.
    """
    given = config.get("conditions")
    for name, own in given.items() if options.is_section(given) else ():
        make = ENCODERS.get(str(own.get("encoder"))) if options.is_section(own) else None
        reads = inspect.signature(make).parameters.get("array") if make is not None else None
        if reads is None:
            continue
        array = own.get("array", name if reads.default in (None, reads.empty) else reads.default)
        try:
            source[array]
        except ValueError as error:
            told = "data.arrays names what is read besides"
            raise ValueError(f"conditions.{name}.array: {error}; {told}") from error


def require_maps(module: nn.Module, asked: Mapping[str, Asked]) -> None:
    """Raise a ValueError unless the channels of all maps are those that the network takes."""
    made = {name: _map_channels(each) for name, each in asked.items()}
    wanted, given = sum(made.values()), getattr(module, "map_channels", 0)
    if wanted != given:
        of = ", ".join(f"{name} {count}" for name, count in made.items() if count) or "no map"
        raise ValueError(f"model.map_channels must be {wanted} (conditions: {of}), got {given}")


def _map_channels(asked: Asked) -> int:
    row = lambda part: jax.ShapeDtypeStruct((1, *part.shape), part.dtype)

    def encoded(own: Any):
        return asked.module.init_with_output(jax.random.key(0), asked.value(own)[0])[0]

    found = jax.eval_shape(encoded, {suffix: row(part) for suffix, part in asked.parts.items()}).map
    return 0 if found is None else found.shape[-1]
