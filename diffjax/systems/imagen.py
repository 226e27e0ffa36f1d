"""Text to pictures in a cascade, each stage of which is told the text (Saharia et al. 2022).

    config.stages = {
        "base": {"workdir": "runs/base", "sampler": {"guidance_weight": 6.0, "threshold": "dynamic"}},
        "up": {"workdir": "runs/up", "sampler": {"guidance_weight": 2.0, "threshold": "static"}},
    }
    config.order = ("base", "up")
    config.augmentation = {"up": {"level": 0.2}}  # chosen when sampling (section 2.5)

A system without updates: its stages are runs of their own, of a frozen text model's tokens, and what is said
here is how they are sampled. Guidance and threshold are each stage's own, so that both can be swept without
training: at large weights x_0 leaves its range, and a threshold on x_0 decides what becomes of that.
"""

from pathlib import Path

from ml_collections import ConfigDict

from diffjax.systems import cascade
from diffjax.training.system import System

SECTIONS, IDENTITY = cascade.SECTIONS, cascade.IDENTITY
TEXT = "text"  # the part that says what the picture shows


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, see `systems.cascade`.

    Raises:
      ValueError: if the first stage is told no text, and for what a cascade refuses.
    """
    system = cascade.from_config(config, folder)
    first = next(iter(system.stages))
    parts = system.stages[first].system.request.parts
    if TEXT not in parts:
        takes = ", ".join(parts) or "nothing"
        raise ValueError(f"config.stages.{first} must be asked with {TEXT!r}; it takes {takes}")
    return system
