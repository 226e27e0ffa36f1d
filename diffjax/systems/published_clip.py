"""Published CLIPs as stages: what they see in pictures and read in texts, from one folder.

    config.clip = {"pretrained": "clip-vit-large-patch14"}

The folder is in the layout of Hugging Face's hub: `config.json` of a CLIP with both towers,
`tokenizer.json`, `model.safetensors`. Pictures are normalised by the mean and the deviation of each channel
that its `preprocessor_config.json` says, or CLIP's own where there is none. All of it is copied into what
stands on it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import files
from diffjax.data import tokens
from diffjax.process.level import unit_of_each
from diffjax.systems import stages
from diffjax.systems.options import is_section
from diffjax.systems.requests import rows_of
from diffjax.systems.text_models import FILES
from diffjax.training.system import Conditioning, Part, System

_TEXT = "text"
_NORMAL = "preprocessor_config.json"
_USUAL = {  # of pixels in [0, 1], in red, green and blue: those of the published code of Radford et al. 2021
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}


def stage(given: Mapping[str, Any] | ConfigDict, folder: str | Path | None, name: str) -> stages.Stage:
    """Make the stage of a published CLIP; of any other section that of `stages.stage`.

    Args:
      given: {"pretrained": folder}.
      folder: of the run that stands on it, whose copy comes first; None reads it where it is.
      name: of the stage.

    Returns:
      A stage whose system has the features "image", of x [B, S, S, C] in [-1, 1], and "text", of the request
      {"text": ids}, as those of system "clip" have.

    Raises:
      ValueError: naming a file that is missing, or of another model.
    """
    if not is_section(given) or "pretrained" not in given or "workdir" in given:
        return stages.stage(given, folder, name)
    for key in given:
        if key != "pretrained":
            raise ValueError(f"config.{name} of a published CLIP has no {key!r}")
    home = stages.copy_in(folder, name) or _folder(given["pretrained"], name)
    config = _config(home / FILES[0])
    how = {"architecture": "clip", "config": config}
    beside = [home / each for each in (*FILES[:2], _NORMAL) if (home / each).is_file()]
    own = stages.network(home / FILES[2], how, folder, name, beside)
    return own._replace(system=_system(own.system, home, config["vision_config"], config["text_config"]))


def _system(network: System, home: Path, vision: Mapping[str, Any], text: Mapping[str, Any]) -> System:
    """Return the system of a network that sees and reads, by the configs of its towers."""
    size, channels, length = (
        vision["image_size"],
        vision.get("num_channels", 3),
        text["max_position_embeddings"],
    )
    mean, deviation = _normal(home / _NORMAL, channels)
    tokenizer = cache(lambda: tokens.read(home / FILES[1]))

    def of_user(given, n):
        ids = tokenizer()(given[_TEXT], length, name=_TEXT)
        return {_TEXT: rows_of(_TEXT, list(ids), n)}

    def features(v):
        look = lambda x, method: unit_of_each(network.features(v)["network"](x, method=method))
        return {
            "image": lambda x, level=None: look(((x + 1) / 2 - mean) / deviation, "image"),
            "text": lambda request: look(request[_TEXT], "text"),
        }

    return network._replace(
        example={"x": jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)},
        request=Conditioning(parts={_TEXT: Part((length,), jnp.int32)}, of_user=of_user),
        features=features,
    )


def _folder(given: Any, name: str) -> Path:
    if not isinstance(given, str | Path):
        raise ValueError(f"config.{name}.pretrained must be a folder, got {given!r}")
    home = Path(given).expanduser()
    for each in FILES:
        if not (home / each).is_file():
            wanted = f"a folder with {', '.join(FILES)}"
            raise ValueError(f"config.{name}.pretrained must be {wanted}; {home} lacks {each}")
    return home


def _config(file: Path) -> dict[str, Any]:
    config = files.read_json(file)
    if config.get("model_type") != "clip":
        raise ValueError(f"{file}: model_type must be 'clip', got {config.get('model_type')!r}")
    for tower, what in (("vision_config", "pictures"), ("text_config", "texts")):
        if not is_section(config.get(tower)):
            raise ValueError(f"{file}: {tower} is missing; this CLIP has no tower of {what}")
    return config


def _normal(file: Path, channels: int) -> list[np.ndarray]:
    """Return mean and deviation [C] of pixels in [0, 1]."""
    given = files.read_json(file) if file.is_file() else {}
    found = {key: np.asarray(given.get(key, usual)) for key, usual in _USUAL.items()}
    for key, value in found.items():
        if value.shape != (channels,) or value.dtype.kind not in "fi" or not (value > 0).all():
            raise ValueError(f"{file}: {key} must be {channels} positive numbers; got {given.get(key)!r}")
    return [value.astype(np.float32) for value in found.values()]
