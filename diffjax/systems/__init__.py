"""Systems of the literature, each composed of the rooms below; `build` makes the one a config names.

The table here is the only place that knows a system by its name, which is its module's. A module is imported
when it is asked for: a command starts with what its run needs.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import optax
from ml_collections import ConfigDict

from diffjax.systems import read as read
from diffjax.systems.averages import averages
from diffjax.systems.options import nearest as nearest
from diffjax.systems.options import pick, require
from diffjax.systems.read import optimizers
from diffjax.systems.read import source as load_data
from diffjax.training.ema import Decay
from diffjax.training.system import System

_BUILT_IN = (
    "ddpm",
    "ncsn",
    "ebm",
    "vdm",
    "vae",
    "gan",
    "normalizing_flow",
    "classifier",
    "guided",
    "semantic",
    "clip",
    "noise_aware",
    "distill",
    "distill_guidance",
    "consistency",
    "continuous_consistency",
    "distribution_matching",
    "mean_flow",
    "cascade",
    "autoencoder",
    "latent",
    "imagen",
    "prior",
    "unclip",
)
_SHORT = {"flow": "normalizing_flow"}  # configs called flow.py are of flow matching, system "ddpm"
_REGISTERED: dict[str, Any] = {}


def __getattr__(name: str) -> ModuleType:
    if name in (*_BUILT_IN, *_SHORT):
        return importlib.import_module(f"{__name__}.{_SHORT.get(name, name)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def module(config: ConfigDict) -> ModuleType:
    """Return what holds a system's `from_config`, `SECTIONS` and `IDENTITY`.

    `SECTIONS` are those of its config beside the common ones, `IDENTITY` those that checkpoints depend on.

    Raises:
      ValueError: for an unknown name.
    """
    require(config, "system")
    known = {name: None for name in (*_BUILT_IN, *_SHORT)} | _REGISTERED
    return pick("system", config.system, known) or __getattr__(config.system)


def register(name: str, system: Any) -> None:
    """Let configs name a system that lives elsewhere, e.g. beside the config file that names it.

    Args:
      name: for `config.system`.
      system: module, or anything else with `from_config(config, folder=None) -> System`, `SECTIONS` and
        `IDENTITY`.

    Raises:
      ValueError: if the name is taken by another system, or this one lacks something.
    """
    if name in (*_BUILT_IN, *_SHORT) and __getattr__(name) is not system:
        raise ValueError(f"system {name!r} is taken: choose another name")
    for part in ("from_config", "SECTIONS", "IDENTITY"):
        if not hasattr(system, part):
            raise ValueError(
                f"system {name!r} must have from_config, SECTIONS and IDENTITY; it has no {part}"
            )
    _REGISTERED[name] = system


def build(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system that a config names.

    Args:
      config: ConfigDict with `system` and the sections of that system.
      folder: of the run, where stages are copied to; None while there is none.

    Returns:
      A System, see `diffjax.training.System`.

    Raises:
      ValueError: naming the field, for an unknown name or option, or options that do not fit.
    """
    return module(config).from_config(config, folder)


def make_optimizer(
    config: ConfigDict, system: System | None = None
) -> dict[str, optax.GradientTransformation]:
    """Build the optimizers of a config's system, one for each of its updates."""
    return optimizers(config, build(config) if system is None else system)


def make_ema(config: ConfigDict) -> dict[str, Decay]:
    """Build the decay rules of the moving averages, one a track."""
    return averages(config)


__all__ = ["System", "build", "load_data", "make_ema", "make_optimizer", "module", "nearest", "register"]
