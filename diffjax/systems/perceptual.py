"""How different two pictures look, as a term of a loss: the section `config.perceptual`.

    config.perceptual = {"pretrained": "lpips_vgg16_fp16.npz", "architecture": "lpips_vgg16"}  # LPIPS
    config.perceptual = {"workdir": "runs/mnist_classifier"}  # features of a network that was trained here

A run is of any system whose features have "maps" of a picture: a classifier, a CLIP. They count alike, as
nobody fitted them to what people say.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax.evaluation import lpips
from diffjax.models.perceptual import Trunk
from diffjax.objectives import metrics
from diffjax.systems.networks import NETWORK
from diffjax.systems.options import call, section
from diffjax.systems.stages import Stage, stage
from diffjax.training.system import Variables
from diffjax.types import Array

NAME = "perceptual"
_LPIPS = ("lpips_alexnet", "lpips_vgg16")


class Perceptual(NamedTuple):
    """A distance of pictures.

    Attributes:
      name: of it, for metrics: "lpips", or "features" of a run.
      distance: (variables of the stage, x, y [B, H, W, C]) -> [B].
      stage: what it stands on.
    """

    name: str
    distance: Callable[[Variables, Array, Array], Array]
    stage: Stage


def of_config(config: ConfigDict, folder: str | Path | None, shape: tuple[int, ...]) -> Perceptual | None:
    """Make the distance of `config.perceptual`; None where there is no such section.

    Args:
      config: of a run.
      folder: of the run.
      shape: of the pictures.

    Raises:
      ValueError: for a file or a run that gives no maps of such pictures.
    """
    if config.get(NAME) is None:
        return None
    if len(shape) != 3:
        raise ValueError(f"config.perceptual is of images (H, W, C); data.shape is {shape}")
    given = section(config, NAME)
    if "pretrained" in given and given.get("architecture") not in _LPIPS:
        raise ValueError(
            f"config.perceptual.architecture must be one of {', '.join(_LPIPS)}; got "
            f"{given.get('architecture')!r}"
        )
    if "pretrained" in given and folder is not None and not _there(given["pretrained"], folder):
        raise ValueError(f"config.perceptual.pretrained: there is no file {given['pretrained']}")
    own = stage(given, folder, NAME)
    published = "pretrained" in given
    found = Perceptual("lpips", _lpips(given["architecture"]), own) if published else _run(own, shape)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    call("perceptual", jax.eval_shape, {}, found.distance, own.shapes(), x, x)  # refused before the work
    return found


def _there(file: Any, folder: str | Path) -> bool:
    return Path(file).exists() or (Path(folder) / "stages" / NAME).exists()


def _lpips(architecture: str):
    from diffjax.pretrained import describe

    described = describe(architecture)
    assert described is not None and isinstance(described[0], Trunk)
    trunk = described[0]

    def distance(variables, x, y):
        tree = {"params": variables.params[NETWORK], **variables.extra[f"{NETWORK}_state"]}
        return lpips.lpips(trunk, tree, _seen(x, trunk.smallest), _seen(y, trunk.smallest))

    return distance


def _seen(x, least):
    """Return pictures in colour, whose shorter side has at least so many pixels."""
    height, width = x.shape[1:3]
    grow = max(1, -(-least // min(height, width)))
    x = jnp.broadcast_to(x, (*x.shape[:-1], 3))
    return x.repeat(grow, axis=1).repeat(grow, axis=2)


def _run(own: Stage, shape: tuple[int, ...]) -> Perceptual:
    if own.system.features is None or "maps" not in own.system.features(own.shapes()):
        raise ValueError(
            "config.perceptual.workdir must be a run of a system with features of pictures, such as "
            "'classifier' or 'clip'"
        )
    if (seen := tuple(own.system.example["x"].shape[1:])) != shape:
        raise ValueError(f"config.perceptual is of images {seen}, and data.shape is {shape}")

    def distance(variables, x, y):
        return metrics.of_features(own.system.features(variables)["maps"])(x, y)

    return Perceptual("features", distance, own)
