"""A model that is asked for many things: its config, and data that have them."""

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import data, systems
from diffjax.training.system import Variables

RNG = np.random.default_rng(0)
N, CAPTIONS = 16, ["A red apple", "the sea", "two cats", "a blue cat"]
PARTS = {
    "text": {
        "encoder": "tokens", "length": 5, "vocab_size": 60, "width": 8, "depth": 1, "num_heads": 2,
        "drop": 0.2,
    },
    "map": {"encoder": "map", "num_classes": 3, "drop": 0.5},
    "image": {"encoder": "low_resolution", "size": 4, "augmentation": 0.5, "level": 0.1},
    "style": {"encoder": "classes", "array": "style", "num_classes": 2, "drop": 0.1},
    "said": {"encoder": "embedding", "array": "said", "shape": (6,), "caption": "caption"},
    "depth": {"encoder": "map", "channels": 2},
    "colours": {"encoder": "colour_map", "shades": 4, "size": 4, "features": 3},
    "soft": {"encoder": "blurred", "width": 1.0},
}  # fmt: skip
CHANNELS = {"map": 3, "image": 1, "depth": 2, "colours": 3, "soft": 1}


def config_of(*names, together=0.0, labels=False, **changes):
    """Return the config of a tiny MLP on images of 8x8 with these parts."""
    config = ConfigDict({
        "system": "ddpm", "data": {"name": "digits", "shape": (8, 8, 1), "num_classes": 10},
        "schedule": {"name": "cosine_beta", "num_steps": 20},
        "model": {"name": "mlp", "width": 8, "depth": 1},
        "objective": {"kind": "v"}, "sampler": {"solver": "ddim", "steps": 2},
        "conditions": {name: PARTS[name] | changes.get(name, {}) for name in names},
    })  # fmt: skip
    if sum(CHANNELS.get(name, 0) for name in names):
        config.model.map_channels = sum(CHANNELS.get(name, 0) for name in names)
    if together:
        config.objective.condition_dropout = together
    if labels:
        config.model.num_classes = 11
        config.objective.label_dropout = 0.1
    return config


def source(**arrays):
    arrays = {
        "caption": np.array(CAPTIONS * (N // 4)),
        "map": RNG.integers(0, 3, (N, 8, 8), np.int32),
        "style": np.arange(N, dtype=np.int32) % 2,
        "said": RNG.standard_normal((N, 6)).astype("f"),
        "depth": RNG.standard_normal((N, 8, 8, 2)).astype("f"),
    } | arrays
    images = RNG.integers(0, 256, (N, 8, 8, 1), np.uint8)
    return data.Source(images, np.arange(N, dtype=np.int32) % 10, 10, "tiny", arrays)


def built(config, folder=None):
    """Return the system, its variables, and a batch as training sees it."""
    system = systems.build(config, folder)
    frozen, prepared = system.prepare(folder, source())
    batch = prepared.gather(np.arange(8))
    init = jax.jit(system.init)
    return system, Variables(*init(jax.random.key(0), {k: batch[k] for k in system.example}, frozen)), batch
